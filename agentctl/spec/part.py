"""What the types of the language are made of: closed mappings, documented keys, words with units."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, ClassVar, TypeAlias, get_args

from msgspec import UNSET, Meta, Struct

from agentctl.errors import ErrorClass
from agentctl.json import Json

NO_DEFAULT: Json = object()
"""Of a key that means nothing when it is left out, or something that no value says."""

Duration = Annotated[str, Meta(title="Duration", pattern=r"^(?=.*[1-9])([0-9]+(\.[0-9]+)?(ms|s|m|h|d))+$")]
"""A time in words: 500ms, 30s, 1h30m, 7d. Nothing can be done in none."""
Pause = Annotated[str, Meta(title="Pause", pattern=r"^([0-9]+(\.[0-9]+)?(ms|s|m|h|d))+$")]
"""A time in words that may be none: 0s."""
SizeText = Annotated[str, Meta(title="Size", pattern=r"^(?=.*[1-9])[0-9]+(\.[0-9]+)?\s*(B|KB|MB|GB)?$")]
MoneyText = Annotated[str, Meta(title="Money", pattern=r"^\$?[0-9]+(\.[0-9]+)?$")]
ShareText = Annotated[str, Meta(title="Share", pattern=r"^[0-9]+(\.[0-9]+)?\s*%$")]
TokensText = Annotated[str, Meta(title="Tokens", pattern=r"^[1-9][0-9]* tokens$")]
"""A number of tokens: 6000 tokens."""
Amount = Annotated[int, Meta(ge=0)]
Size: TypeAlias = SizeText | Annotated[int, Meta(ge=1)]
"""A size: 64KB, 1MB, or bytes. Nothing fits into none."""
Money: TypeAlias = MoneyText | Annotated[float, Meta(ge=0)]
"""US dollars: $0.05 or 0.05."""
Share: TypeAlias = ShareText | Amount
"""A share of a whole, 20%, or a count."""

AgentName = Annotated[str, Meta(title="AgentName")]
ToolName = Annotated[str, Meta(title="ToolName")]
ModelName = Annotated[str, Meta(title="ModelName")]
GraphName = Annotated[str, Meta(title="GraphName")]
GraphReference = Annotated[str, Meta(title="GraphReference")]
"""A graph of `graphs:`, or a file."""
StoreName = Annotated[str, Meta(title="StoreName")]
ServerTool = Annotated[str, Meta(title="ServerTool")]
"""A server of `mcp:`, or `server/tool`."""
TierName = Annotated[str, Meta(title="TierName")]
NodeName = Annotated[str, Meta(title="NodeName")]
FieldName = Annotated[str, Meta(title="FieldName")]
SummaryField = Annotated[str, Meta(title="SummaryField")]
"""Names of things of the file: the schema of one file knows which there are."""

Count = Annotated[int, Meta(ge=1)]
Name = Annotated[str, Meta(title="Name", pattern=r"^[A-Za-z_][A-Za-z0-9_-]*$")]
ErrorKey = Annotated[str, Meta(title="ErrorClass", pattern=f"^({'|'.join(get_args(ErrorClass))}|else)$")]
"""A class of errors that `on_error` routes by."""
Template = Annotated[str, Meta(title="Template")]
"""Text in which `${{ … }}` is filled in."""
Expression = Annotated[str, Meta(title="Expression")]
"""A bare expression: no `${{ }}` around it."""
Condition: TypeAlias = Expression | bool
"""A bare expression that is true or false."""
Target = Annotated[str, Meta(title="Target")]
"""A node, a router, or `end`."""
ErrorTarget = Annotated[str, Meta(title="ErrorTarget")]
"""A node, a router, `end`, or `skip`."""
TypeName = Annotated[str, Meta(title="TypeName")]
TypeSpec: TypeAlias = TypeName | dict[str, Json]
"""A type name (`string`, `number?`), a JSON Schema, or a mapping of fields to types."""
StateType: TypeAlias = TypeName | Annotated[dict[str, Json], Meta(title="FieldSpec")]
"""A type of a state field, which may also say how it is kept."""


def doc(description: str, *examples: Json, default: Json = NO_DEFAULT) -> Meta:
    """What a key is for, with examples of its value: they are in the JSON Schema and the key reference.

    `default` is what holds when the key is left out.
    """
    said = None if default is NO_DEFAULT else {"default": default}
    return Meta(description=description, examples=list(examples), extra_json_schema=said)


@dataclass(frozen=True)
class Choice:
    """The keys of which a mapping has exactly one, and the keys that go with some of them only."""

    noun: str
    """What the mapping is: a node."""
    kind: str
    """What such a key is: verb."""
    keys: tuple[str, ...]
    belonging: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """From a key to those of `keys` that it goes with."""
    needs: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """From one of `keys` to the keys it cannot do without."""

    def fits(self, said: frozenset[str]) -> bool:
        """Whether a mapping with these keys has one of the choice, what it needs, and nothing of another."""
        chosen = [key for key in self.keys if key in said]
        if len(chosen) != 1:
            return False
        needed = self.needs.get(chosen[0], ())
        return said.issuperset(needed) and all(
            chosen[0] in owners for key, owners in self.belonging.items() if key in said
        )


class Part(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Base of every mapping of the language: closed, and never changed once read."""

    choice: ClassVar[Choice | None] = None

    def __post_init__(self) -> None:
        if self.choice is not None:
            names = zip(self.__struct_fields__, self.__struct_encode_fields__, strict=True)
            said = frozenset(key for name, key in names if getattr(self, name) is not UNSET)
            if not self.choice.fits(said):
                raise ValueError(
                    f"{self.choice.noun} has one {self.choice.kind}, and the keys of that one only"
                )
