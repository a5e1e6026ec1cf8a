"""`agentctl schema`: the JSON Schema of graph files, for editors."""

from __future__ import annotations

import sys

from agentctl.cli.options import application

app = application()


@app.command()
def schema() -> None:
    """Print the JSON Schema of graph files.

    Save it and point an editor at it: `# yaml-language-server: $schema=graph.v1.json`.
    """
    import orjson

    from agentctl.spec.schema import graph_schema

    sys.stdout.write(orjson.dumps(graph_schema(), option=orjson.OPT_INDENT_2).decode() + "\n")
