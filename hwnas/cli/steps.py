"""How the command line shows its verbs: by step, each with its whole first sentence."""

from __future__ import annotations

from typing import Any

from typer.core import TyperGroup


class StepsGroup(TyperGroup):
    """Verbs under the step that they are of (``rich_help_panel``), in the order in which they were added."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        sections: dict[str, list[tuple[str, str]]] = {}
        for name in self.list_commands(ctx):
            command: Any = self.get_command(ctx, name)
            sentence = command.get_short_help_str(limit=1000)  # in place of what fits a line, and an ellipsis
            sections.setdefault(command.rich_help_panel or "Commands", []).append((name, sentence))
        for title, rows in sections.items():
            with formatter.section(title):
                formatter.write_dl(rows)
