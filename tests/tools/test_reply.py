"""What a worker says of a failure."""

from agentctl.tools.reply import LONGEST_MESSAGE, describe


def test_a_long_message_is_cut_between_words() -> None:
    secret = "hunter-two-hunter"
    room = LONGEST_MESSAGE - len("ValueError: ")
    for before in range(room - len(secret) - 2, room + 1):
        said = describe(ValueError(f"{'x' * (before - 1)} {secret}{' and more' * 300}"))
        assert len(said) <= LONGEST_MESSAGE + 2
        assert secret in said or "hunter" not in said
    assert describe(ValueError("short")) == "ValueError: short"
    assert describe(ValueError("y" * 5000)) == f"ValueError: {'y' * room}"
