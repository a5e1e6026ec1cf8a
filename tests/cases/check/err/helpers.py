def find() -> list[str]:
    return []
