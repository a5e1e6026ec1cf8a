"""Code that lies outside the project, and what surely is a secret."""

from __future__ import annotations

from pathlib import Path

import pytest

from agentctl.check.check import check_file
from agentctl.check.secrets import masked, secrets_in

GRAPH = """\
agentctl: 1
name: counter
output: [lines]
state: {lines: string}
tools:
  count: {python: "tools:count", description: Count., effect: read, timeout: 5s}
start: count
nodes:
  count: {tool: count, save: lines, then: end}
"""


def test_a_module_that_is_a_link_out_of_the_project_is_code_outside_it(tmp_path: Path) -> None:
    project = tmp_path / "project"
    project.mkdir()
    (tmp_path / "tools.py").write_text("def count(): ...\n")
    (project / "tools.py").symlink_to(tmp_path / "tools.py")
    (project / "graph.yaml").write_text(GRAPH)
    (finding,) = check_file(project / "graph.yaml")
    assert (finding.code, finding.span.line) == ("X03", 6)


def test_a_path_that_is_a_link_out_of_the_project_leaves_it(tmp_path: Path) -> None:
    project = tmp_path / "project"
    project.mkdir()
    (tmp_path / "secret").mkdir()
    (project / "notes").symlink_to(tmp_path / "secret")
    (project / "tools.py").write_text("def count(): ...\n")
    sandboxed = "timeout: 5s, sandbox: {files: {read: [./notes]}}}"
    (project / "graph.yaml").write_text(GRAPH.replace("timeout: 5s}", sandboxed))
    assert [finding.code for finding in check_file(project / "graph.yaml")] == ["X06"]


@pytest.mark.parametrize(
    "text",
    [
        "api_key: sk-proj-4f9aB7c2D8e1G5h3J6",
        "Authorization: Bearer abc123def456ghi",
        "https://bob:s3cr3tPw@example.org",
        "key AKIAIOSFODNN7EXAMPLE",
        "-----BEGIN RSA PRIVATE KEY-----",
    ],
)
def test_what_reads_like_a_key_is_a_secret_and_is_starred_out(text: str) -> None:
    assert len([*secrets_in(text)]) == 1
    assert "***" in masked(text)


@pytest.mark.parametrize(
    "text",
    [
        "token: string",
        "api_key: none",
        "python: tools:pk_customer_lookup_table",
        "api_key: ${{ env.KEY_2 }}",
        "Authorization: Bearer ${{ env.X1 }}",
        "max_output_tokens: 1000000000",
        "model: local/sk-learn-version-2-pipeline",
        "https://${{ env.A1 }}:${{ env.B2 }}@h",
    ],
)
def test_names_templates_and_numbers_are_none(text: str) -> None:
    assert [*secrets_in(text)] == []
