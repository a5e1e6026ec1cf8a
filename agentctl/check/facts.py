"""All that the rules of the later phases look at, each part built when first asked for."""

from __future__ import annotations

from functools import cached_property

from agentctl.check.flow import FileModel
from agentctl.check.groups import Groups
from agentctl.check.runs.steps import Steps
from agentctl.check.sites import Sites
from agentctl.check.tools.tooling import Tooling
from agentctl.spec.document import Document


class Facts:
    """A file, its expressions, its models, its tools and tiers."""

    def __init__(self, file: FileModel, sites: Sites) -> None:
        self.file = file
        self.sites = sites

    @property
    def document(self) -> Document:
        return self.file.document

    @cached_property
    def groups(self) -> Groups:
        return Groups(self.file)

    @cached_property
    def tooling(self) -> Tooling:
        return Tooling(self.file)

    @cached_property
    def steps(self) -> Steps:
        return Steps(self.file, self.sites)
