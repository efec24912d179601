"""What a report tells of a study, from top to bottom: the answer first, then what it rests on."""

from pipeline.escaping import for_markdown
from pipeline.report.document import Block, Note, Paragraph
from pipeline.report.sections import best, budget, references
from pipeline.report.sections.answers import answers
from pipeline.report.sections.champion import champion
from pipeline.report.sections.errors import errors
from pipeline.report.sections.finals import finals
from pipeline.report.sections.gain import gain
from pipeline.report.sections.looks import looks
from pipeline.report.sections.next_study import next_study
from pipeline.report.sections.provenance import provenance, trials
from pipeline.report.sections.search import search
from pipeline.report.sections.simple_models import simple_models
from pipeline.report.sections.space import space
from pipeline.report.sections.verdict import verdict
from pipeline.report.summary import StudySummary
from pipeline.wording import count_noun, search_command


def _running(facts: StudySummary) -> list[Block]:
    """Says that the search goes on, or was killed; nothing if it ended otherwise."""
    stood = f"how it stood on {facts.read}, after {count_noun(len(facts.ended), 'trial')}."
    if facts.searched_by:
        whom = for_markdown(facts.searched_by)
        return [Note(f"This study is being searched, by {whom}: what follows is {stood}")]
    if facts.broken_off:
        whom, command = for_markdown(facts.broken_off), search_command(facts.spec.name)
        return [
            Note(
                f"This study is not being searched: {whom}, which searched it, was killed. What "
                f"follows is {stood} The search goes on with `{command}`."
            )
        ]
    return []


def blocks(facts: StudySummary) -> list[Block]:
    """Builds the whole report, the answer first."""
    return [
        Paragraph(for_markdown(facts.spec.goal)),
        *_running(facts),
        *answers(facts),
        *verdict(facts),
        *finals(facts),
        *gain(facts),
        *simple_models(facts),
        *champion(facts),
        *errors(facts),
        *looks(facts),
        *best.best(facts),
        *search(facts),
        *budget.budget(facts),
        *budget.cost(facts),
        *space(facts),
        *best.sizes(facts),
        *references.blocks(facts),
        *next_study(facts),
        *provenance(facts),
        *trials(facts),
    ]
