"""Every kind of generated block by the first word of its name; the other words are its arguments."""

from collections.abc import Callable

import check_blocks as checks
import command_blocks as command
import formula_blocks as formula
import house_blocks as house
import kept_runs as kept
import scan_blocks as scans
import zoo_blocks as of_all

BLOCKS: dict[str, Callable[..., str]] = {
    "equations": formula.equations,
    "source": formula.source,
    "sizes": formula.sizes,
    "steps": formula.steps,
    "totals": formula.totals,
    "lines": formula.lines,
    "equal-at": formula.equal_at,
    "pairs": formula.pairs,
    "break-even": formula.break_even,
    "pointwise": formula.pointwise_weights,
    "catalogue": formula.catalogue,
    "presets": formula.presets,
    "preset-sources": formula.preset_sources,
    "run": command.run,
    "head": command.head,
    "since": command.since,
    "json": command.json_of,
    "options": command.options,
    "measured-compare": command.measured_compare,
    "measured-record": command.measured_record,
    "demo": kept.demo,
    "all": kept.every,
    "constants": house.constants,
    "tree": house.tree,
    "floors": house.floors,
    "contracts": house.contracts,
    "tape": house.tape,
    "template": house.template,
    "benchmark": house.table_of,
    "checks-of-others": checks.others,
    "scan-flops": scans.flops,
    "zoo": of_all.zoo,
    "tay": of_all.tay,
}
