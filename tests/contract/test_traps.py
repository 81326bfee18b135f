"""What real data of vendors has been seen to do, and the test that shows it does no harm here."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parents[1]

# Number of the trap in the list of what real data did, and which part of it -> its tests.
TRAPS: dict[tuple[int, str], tuple[str, ...]] = {
    (1, "a slash for no change, zeros for no day, empty and customers' segments, odd names"): (
        "unit/handlers/test_idoc_orders.py::test_trap_segments_of_customers_and_no_change_marks_do_no_harm",
        "unit/handlers/test_idoc_orders.py::test_trap_a_field_that_was_not_selected_is_never_taken_for_empty",
        "unit/handlers/test_idoc_material.py::test_trap_a_field_that_was_not_selected_is_as_it_was_and_an_empty_one_is_empty",
        "unit/handlers/test_idoc_document.py::test_names_of_customers_have_slashes",
        "unit/handlers/test_idoc_document.py::test_a_day_or_none",
        "unit/handlers/test_idoc_orders.py::test_trap_an_empty_segment_says_nothing",
    ),
    (2, "three partners of one role with other fields; a line without price; a line twice"): (
        "unit/handlers/test_idoc_orders.py::test_trap_a_supplier_told_of_three_times_with_other_fields_is_one",
        "unit/handlers/test_idoc_orders.py::test_trap_a_line_without_price_or_material_is_taken",
        "unit/handlers/test_idoc_orders.py::test_trap_a_line_that_is_confirmed_twice_counts_once_or_is_refused",
    ),
    (3, "10, 00010 and 000010 are one line"): (
        "unit/handlers/test_idoc_orders.py::test_trap_one_line_has_one_number_however_it_is_padded",
        "unit/handlers/test_s4_inbound.py::test_trap_numbers_are_padded_in_some_releases",
    ),
    (4, "a revision glued to its change; a line in another revision than the released one"): (
        "unit/handlers/test_pdx.py::test_the_real_package_splits_revisions_from_the_changes_that_made_them",
        "unit/handlers/test_pdx.py::test_a_line_may_be_in_another_revision_than_its_component_is_released_in",
    ),
    (5, "quantities of 0 and .001, a header for 100"): (
        "unit/handlers/test_pdx.py::test_odd_quantities_are_exact",
        "unit/handlers/test_pdx.py::test_a_header_base_quantity_of_100_is_kept_with_its_lines",
        "unit/handlers/test_idoc_bill_of_material.py::test_trap_the_quantity_that_cannot_hold_decimals_is_not_read",
    ),
    (6, "a unit in a custom field, in words of one's own, deprecated, or none anybody knows"): (
        "unit/handlers/test_pdx.py::test_an_item_without_a_unit_has_that_of_the_lines_that_use_it",
        "unit/handlers/test_pdx.py::test_a_unit_in_no_table_is_never_guessed",
        "unit/handlers/test_idoc_material.py::test_trap_units_that_nobody_knows_are_cases_and_the_rest_is_taken",
        "unit/canonical/test_quantity.py::test_a_deprecated_code_is_understood_and_flagged",
        "unit/canonical/test_quantity.py::test_cake_and_ream_are_never_taken_from_a_partner_unmapped",
    ),
    (7, "ranges of designators, and designators that are fewer or more than the quantity"): (
        "unit/handlers/test_arena_item.py::test_designators_are_spelled_out",
        "unit/canonical/test_designators.py::test_a_short_range_is_one_only_where_the_quantity_says_so",
        "unit/handlers/test_pdx.py::test_the_real_bom_keeps_positions_quantities_and_reference_designators",
    ),
    (8, "a document that breaks its own document type"): (
        "unit/handlers/test_pdx.py::test_the_real_package_breaks_its_own_document_type_once_and_is_taken",
    ),
    (8, "a vendor's documentation in JSON that is none"): (
        "unit/sandbox/test_metadata.py::test_the_files_are_what_the_generator_makes",
    ),
    (8, "a body that says it is compressed"): (
        "integration/test_http_channel.py::test_an_answer_too_large_or_compressed_is_not_taken_in",
        "integration/test_consumer.py::test_a_compressed_body_is_one_case_and_is_not_opened",
    ),
    (9, "an error inside an answer that says success, and inside the parts of a batch"): (
        "unit/handlers/test_s4.py::test_what_the_target_has_to_say_about_a_success_is_kept",
        "unit/handlers/test_s4.py::test_a_change_set_that_fails_says_whether_it_may_have_happened",
        "unit/handlers/test_s4.py::test_a_confirmation_of_another_object_is_not_tried_again",
        "unit/handlers/test_s4.py::test_an_error_inside_an_answer_that_says_success_is_told_in_its_own_words",
        "unit/handlers/test_arena_outbound.py::test_an_error_inside_an_answer_that_says_success_is_told_in_its_own_words",
        "unit/handlers/test_coupa.py::test_an_error_inside_an_answer_that_says_success_is_told_in_its_own_words",
    ),
    (11, "a session that another worker ended; a token that goes with a cookie"): (
        "unit/broker/test_arena_session.py::test_a_session_that_is_over_is_renewed_once",
        "integration/test_http_channel.py::test_an_ended_sap_session_is_renewed_and_the_refused_call_repeated_once",
        "contract/test_erp_stand_in.py::test_a_token_without_its_session_cookie_is_stale",
    ),
    (12, "an event with a key only, whose object is newer or gone when it is read"): (
        "unit/handlers/test_s4_inbound.py::test_a_later_read_is_newer_than_an_earlier_one_whatever_it_tells",
        "unit/handlers/test_s4_read_back.py::test_an_object_that_is_gone_is_an_answer_too",
    ),
    (13, "the same message once more, under the same id or a new one"): (
        "unit/handlers/test_idoc_orders.py::test_trap_the_same_idoc_sent_again_is_the_same_message_and_another_number_is_not",
        "unit/handlers/test_distribution.py::test_what_is_said_again_asks_for_nothing_else",
        "unit/handlers/test_coupa_rows.py::test_a_row_that_is_listed_again_is_the_same_and_one_that_says_something_else_is_not",
    ),
    (14, "a day that begins at midnight of another zone; an offset without its colon"): (
        "unit/handlers/test_arena.py::test_a_date_takes_effect_at_pacific_midnight_of_its_utc_day",
        "unit/handlers/test_timestamps.py::test_trap_an_offset_may_lack_its_colon_and_never_be_missing",
    ),
    (15, "byte order marks and ISO-8859-1"): (
        "contract/test_mutations.py::test_xml_says_the_same_in_every_encoding_that_it_tells",
        "unit/handlers/test_pdx_hostile.py::test_common_encodings_are_read",
        "unit/handlers/test_table.py::test_blank_lines_byte_order_mark_and_blanks_around_cells_mean_nothing",
    ),
}  # fmt: skip

# The same for those that cannot occur here: no driver reads what they were seen in.
CANNOT: dict[tuple[int, str], str] = {
    (5, "a quantity by repetition of instances"): "PLM XML of Teamcenter is not read",
    (10, "a structure that is incomplete for lack of rights"): "Windchill is not read",
    (15, "tabs before segments, control numbers that do not match"): "X12 and EDIFACT are not read",
}


def test_every_kind_of_trap_has_tests_or_a_reason() -> None:
    assert {number for number, _ in {*TRAPS, *CANNOT}} == set(range(1, 16))
    assert not TRAPS.keys() & CANNOT.keys()


@pytest.mark.parametrize("trap", TRAPS)
def test_a_trap_has_tests_of_these_names(trap: tuple[int, str]) -> None:
    assert TRAPS[trap]
    for node in TRAPS[trap]:
        file, _, name = node.partition("::")
        assert re.search(rf"^(async )?def {name}\(", (TESTS / file).read_text(), re.MULTILINE), node
