"""Which findings are asked for: `--select`, `--ignore` and `-v`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from agentctl.check.severity import severity_of
from agentctl.errors import UsageError
from agentctl.spec.finding import Finding
from agentctl.spec.nearest import nearest


@dataclass(frozen=True)
class Selection:
    """Codes, or the beginnings of codes: E410, E4, E."""

    select: tuple[str, ...] = ()
    """Only these; none means all."""
    ignore: tuple[str, ...] = ()
    verbose: bool = False
    """Whether findings of the severity `information` are asked for."""

    @property
    def information(self) -> bool:
        """Whether rules that only inform are worth running."""
        return self.verbose or any(severity_of(code) == "information" for code in self.select)

    def keeps(self, finding: Finding) -> bool:
        """Whether a finding is asked for. One that only informs must be selected by its whole code."""
        if finding.code.startswith(self.ignore) and self.ignore:
            return False
        if finding.severity == "information" and not self.verbose:
            return finding.code in self.select
        return not self.select or finding.code.startswith(self.select)


def read_codes(option: str, values: Iterable[str]) -> tuple[str, ...]:
    """The codes of an option, `E410,T` or given several times. Raises UsageError for one that is none."""
    given = [code.strip() for text in values for code in text.split(",")]
    if not given:
        return ()
    from agentctl.check.explain import codes

    known = codes()
    for code in given:
        if not code or not any(one.startswith(code.upper()) for one in known):
            raise _unknown(option, code, known)
    return tuple(code.upper() for code in given)


def _unknown(option: str, code: str, known: tuple[str, ...]) -> UsageError:
    families = "".join(dict.fromkeys(one[0] for one in known))
    if not code:
        return UsageError(f"`{option}` names no code", hint=f"name some: E410, or a family of {families}")
    near = nearest(code.upper(), known)
    hint = (
        f"did you mean `{near}`?" if near else f"a code looks like E410, a family is one letter of {families}"
    )
    return UsageError(f"`{option}`: there is no finding `{code}`", hint=hint)
