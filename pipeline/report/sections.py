"""What a report tells of a study, from top to bottom: the answer first, then what it rests on."""

from pipeline.escaping import for_markdown
from pipeline.report import best_section, budget_section, reference_sections
from pipeline.report.answers_section import answers
from pipeline.report.champion_section import champion
from pipeline.report.document import Block, Note, Paragraph
from pipeline.report.errors_section import errors
from pipeline.report.finals_section import finals
from pipeline.report.gain_section import gain
from pipeline.report.looks_section import looks
from pipeline.report.next_section import next_study
from pipeline.report.provenance_section import provenance, trials
from pipeline.report.search_section import search
from pipeline.report.simple_section import simple_models
from pipeline.report.space_section import space
from pipeline.report.summary import StudySummary
from pipeline.report.verdict_sections import verdict
from pipeline.wording import count_noun


def _running(facts: StudySummary) -> list[Block]:
    """Says that the search goes on while the report was written; nothing if it does not."""
    if not facts.searched_by:
        return []
    return [
        Note(
            f"This study is being searched, by {for_markdown(facts.searched_by)}: what follows is "
            f"how it stood on {facts.read}, after {count_noun(len(facts.ended), 'trial')}."
        )
    ]


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
        *best_section.best(facts),
        *search(facts),
        *budget_section.budget(facts),
        *budget_section.cost(facts),
        *space(facts),
        *best_section.sizes(facts),
        *reference_sections.blocks(facts),
        *next_study(facts),
        *provenance(facts),
        *trials(facts),
    ]
