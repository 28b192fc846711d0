# SPDX-License-Identifier: GPL-2.0-or-later
"""What SECURITY.md, docs/modes.md and docs/xenstore.md promise, and the tests that hold it.

A claim is the document's own words, so that who changes them meets this table.  Every paragraph,
point and row of the parts named in `PARTS` has a claim with tests here, or stands in `TOLD`:
a limit that nothing can hold, or an explanation.  Paths are below tests/.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

import pytest

from tests.support.documents import TOP, text_of
from tests.support.named_tests import is_there

SECURITY: Final = "SECURITY.md"
MODES: Final = "docs/modes.md"
XENSTORE: Final = "docs/xenstore.md"

PARTS: Final[dict[str, tuple[str, ...]]] = {
    SECURITY: ("Whom it trusts", "What is defended", "How it is looked for"),
    MODES: (
        "Modes",
        "The floor",
        "Protection never waits",
        "Sudden demand in mode self",
        "When a write is denied",
    ),
    XENSTORE: ("Written by the daemon", "When the daemon stops"),
}
# The table of keys is held by test_docs_keys.py, that of schedules shows what was measured.
ROWS_HELD_ELSEWHERE: Final = ("Written by the daemon", "Protection never waits")
TOLD: Final[dict[str, tuple[str, ...]]] = {
    SECURITY: ("| other guests |", "`tests/test_claims.py` names"),
    MODES: (
        "`mode` in the [configuration]",
        "With the daemon as a process of its own",
        "What a host can still do:",
        "A guest that gave memory back gets it again in three ways",
        "What cannot be had from user space:",
    ),
    XENSTORE: (),
}

_PROTECTS: Final = "core/policy/test_policy_protects.py"
_RUNS: Final = "core/policy/test_policy_runs.py"
_INVARIANTS: Final = "core/policy/test_policy_invariants.py::test_the_promises_hold_in_every_run"
_WHOLE_RUNS: Final = "daemon/test_whole_runs.py::test_the_promises_hold_in_every_run_of_the_daemon"
_SCHEDULES: Final = "sim_backend/stories/test_schedules.py"
_PUBLISHER: Final = "daemon/test_publisher.py"
_SHARED: Final = "daemon/test_shared_keys.py"
_PROCESS: Final = "daemon/test_daemon_process.py"
_ROOT: Final = "sources/test_system_root.py"
_SELF: Final = "core/policy/test_policy_self.py"
_BALLOON: Final = "core/account/test_balloon.py"
_FLOOR: Final = "daemon/test_published_floor.py"
_DENIED: Final = "daemon/test_denied_writes.py"

Claims = dict[str, tuple[str, ...]]

OF_SECURITY: Final[Claims] = {
    "run code in the guest, make it write elsewhere, stop the daemon by garbage": (
        "sources/xenstore/test_fuzz.py::test_any_traffic_ends_in_an_answer_or_an_error_of_ours",
        "sources/test_parsers_on_garbage.py::test_any_bytes_are_a_value_or_refused",
        _WHOLE_RUNS,
    ),
    "have it release below the floor in the modes `guard` and `self`": (_INVARIANTS, _WHOLE_RUNS),
    "harm the host beyond what the guest's own xenstore connection allows": (
        "sources/xenstore/test_session.py::test_a_guest_may_not_write_the_hosts_keys",
        f"{_PUBLISHER}::test_a_flood_of_changes_is_slowed_down_and_the_last_value_gets_through",
    ),
    "change anything, gain root's view, fill the log or the disk": (
        f"{_PROCESS}::test_a_user_without_rights_is_told_so",
        "cli/test_terminals.py::test_an_ordinary_user_who_may_not_write_there_is_told_so",
        "daemon/test_no_wakeup_is_lost.py::test_nobody_but_its_owner_can_open_the_lock",
        "daemon/test_daemon_faults.py::test_a_fault_that_lasts_fills_no_journal",
    ),
    "lead the daemon to files of their choice": (
        f"{_PROCESS}::test_a_runtime_directory_that_others_may_write_is_not_used",
        f"{_PROCESS}::test_a_planted_symlink_is_replaced_not_followed",
        "daemon/test_runtime_directory_faults.py::test_a_directory_that_is_a_symlink_is_not_entered",
    ),
    "run code, read other files than the capture's, or steer your terminal": (
        f"{_ROOT}::test_a_symlink_never_leads_out_of_the_capture",
        "sources/test_damaged_captures.py::test_a_damaged_capture_is_judged_and_shown_or_is_no_xen",
        "report/test_screens.py::test_control_characters_are_spelled_out",
    ),
    "at most four connections of 30 s and 64 MiB each": (
        "monitoring/test_units.py::test_the_exporter_is_a_socket_that_starts_one_process_a_connection",
        "monitoring/test_units.py::test_the_port_is_local_and_bounded",
        "cli/test_metrics.py::test_a_peer_that_stays_silent_is_sent_away",
        "cli/test_metrics.py::test_a_request_without_an_end_is_cut",
    ),
    "decimal of it that a machine could have: at most 4 PiB": (
        "sources/test_bounds.py::test_a_target_beyond_any_machine_is_no_target",
        "core/facts/test_numbers.py::test_anything_else_is_refused_with_a_reason",
    ),
    "A storm of watches is merged into one look, and looks have a least distance": (
        f"{_PROCESS}::test_a_storm_of_events_is_heard_a_few_times_a_second_and_nothing_is_missed",
        "sources/xenstore/test_events.py::test_a_storm_of_events_is_taken_in_bounded_parts_and_held_in_bounded_memory",
    ),
    "A silent xenstored ends in a time limit": (
        "sources/xenstore/test_session.py::test_a_stopped_xenstored_ends_in_a_timeout_not_a_hang",
        "daemon/test_beside_a_slow_xenstored.py::test_it_starts_in_time_and_says_the_rest_later",
        "daemon/test_beside_a_slow_xenstored.py::test_it_ends_in_time",
        "sources/xenstore/test_pyxs.py::test_a_silent_xenstored_ends_a_read_within_its_time",
    ),
    "No length that a peer claims is allocated": (
        "sources/xenstore/test_process.py::test_nothing_is_read_or_allocated_by_a_length_the_peer_claims",
    ),
    "Opened below one root, read in one bounded piece, never waited for": (
        f"{_ROOT}::test_an_endless_file_is_read_to_the_limit_only",
        f"{_ROOT}::test_a_fifo_planted_in_a_capture_is_no_file_and_hangs_nobody",
    ),
    "judgement has an answer for every snapshot": (
        "core/test_judgements_are_total.py::test_every_judgement_answers_for_every_snapshot",
    ),
    "takes time in proportion to what was read": (
        "fuzz/test_growth.py::test_a_guest_is_judged_in_proportion_to_its_size",
        "fuzz/test_growth.py::test_a_part_that_is_repeated_takes_time_in_proportion",
    ),
    "What a link in one leads to, a FIFO or a device is not even opened": (
        f"{_ROOT}::test_what_a_link_leads_to_outside_is_not_even_opened",
        f"{_ROOT}::test_a_device_in_a_capture_is_not_opened",
    ),
    "begins it under a name that nobody can lay a file at": (
        "cli/test_simulate.py::test_what_is_planted_where_a_plot_is_to_be_leads_nowhere_and_holds_nothing_up",
        "report/test_capture_archive.py::test_what_was_planted_for_the_unfinished_archive_is_not_opened",
        "report/test_capture_archive.py::test_a_name_that_is_guessed_is_still_not_opened",
    ),
    "Of a process that was killed it keeps that it was, not its name": (
        "sources/test_kernel_log.py::test_a_capture_does_not_tell_who_was_killed",
    ),
    "never write a target below the floor": (_INVARIANTS, _WHOLE_RUNS),
    "put back what holds whatever the host writes and whenever": (
        f"{_PROTECTS}::test_nothing_is_killed_however_the_host_asks",
        f"{_PROTECTS}::test_a_reflex_puts_back_what_holds_and_nothing_else",
    ),
    "let no number of asks take more than 4 MiB each": (
        "fuzz/test_guard.py::test_no_guest_sinks_further_below_its_floor_than_its_hosts_asks_allow",
    ),
    "Text from outside is shown escaped, cut, and on one line": (
        "report/test_screens.py::test_control_characters_are_spelled_out",
        "cli/test_command_line.py::test_escapes_in_xenstore_are_spelled_out",
        "sources/test_parsers_on_garbage.py::test_a_refusal_becomes_a_status_of_one_line",
    ),
    "Keys are written when they change, at a limited rate, within the quota": (
        f"{_PUBLISHER}::test_only_what_changed_is_written_and_the_sequence_comes_last",
        f"{_PUBLISHER}::test_a_flood_of_changes_is_slowed_down_and_the_last_value_gets_through",
        f"{_PUBLISHER}::test_a_quota_is_given_a_minute",
    ),
    "only below `data/` unless a profile is chosen that says otherwise": (
        f"{_PUBLISHER}::test_below_libxl_only_data_balloon_is_written",
    ),
    "A refused key is not tried again and again": (
        f"{_PUBLISHER}::test_a_refused_key_is_told_once_and_never_tried_again",
    ),
    "which enrols a guest with Qubes' balancer, is never a guess": (
        f"{_PUBLISHER}::test_nobody_is_enrolled_in_qubes_by_a_guess",
    ),
    "No shell, no subprocess, no network; one thread": (
        "test_architecture.py::test_only_xl_is_started_and_only_by_one_module",
        "sources/xenstore/test_process.py::test_a_session_has_no_thread_and_one_descriptor",
        "daemon/test_daemon_is_lean.py::test_nothing_heavy_is_loaded_to_run_it",
    ),
    "files are replaced atomically, never followed through a link": (
        "daemon/test_killed.py::test_killed_at_each_step_of_writing_it_leaves_a_whole_file",
        f"{_PROCESS}::test_a_planted_symlink_is_replaced_not_followed",
    ),
    "Every parser of outside data is a fuzz target": (
        "fuzz/test_targets.py::test_every_parser_of_the_agent_is_a_target",
    ),
    "a kept corpus (`tests/corpus`) that every run of the tests replays": (
        "fuzz/test_targets.py::test_an_odd_input_of_the_corpus_holds",
        "fuzz/test_targets.py::test_every_target_has_a_corpus_and_every_corpus_a_target",
    ),
    "whatever takes time with their square is told": (
        "fuzz/test_growth.py::test_what_grows_with_the_square_is_found",
    ),
}
OF_MODES: Final[Claims] = {
    "| `observe` | read, judge, report | changes anything in the guest |": (
        f"{_RUNS}::test_observing_looks_and_never_writes",
        _INVARIANTS,
    ),
    "write the host's own target when the kernel ignored it": (
        f"{_PROCESS}::test_a_target_that_the_kernel_ignores_is_written_after_the_grace",
    ),
    "wake a driver that gave up": (
        f"{_RUNS}::test_a_driver_that_gave_up_is_woken_and_gets_its_exact_target_back",
    ),
    "put hot-added memory online": (
        f"{_RUNS}::test_blocks_that_the_kernel_left_offline_are_put_online",
    ),
    "in steps, not while the guest stalls, and never below the floor": (
        f"{_RUNS}::test_a_guarded_guest_keeps_its_workload_and_goes_on_when_there_is_room",
        f"{_FLOOR}::test_a_stall_is_told_at_once_and_so_is_its_end",
        "daemon/test_daemon_published.py::test_a_guarded_shrink_stops_at_the_floor_and_says_which",
    ),
    "what the guest has not needed for a minute": (
        "core/policy/test_policy_leaves_alone.py::test_a_guest_of_its_own_mind_gives_back_only_after_a_calm_minute_and_step_by_step",
    ),
    "leaves the span between floor and host target": (
        f"{_RUNS}::test_a_guest_of_its_own_mind_gives_back_and_takes_back_within_the_hosts_target",
    ),
    "No mode writes a target above `static-max`, or two within `timing.cooldown`": (
        _INVARIANTS,
        _WHOLE_RUNS,
    ),
    "None touches dom0, a driver domain or a crash kernel unless told to": (
        f"{_RUNS}::test_dom0_is_left_alone_unless_configured",
        f"{_RUNS}::test_what_a_driver_domain_has_lent_out_is_no_reason_to_act",
        "core/policy/test_policy_leaves_alone.py::test_a_crash_kernel_is_left_alone_in_every_mode",
    ),
    "`reclaim_released` holds there too": (
        f"{_PROTECTS}::test_released_pages_are_taken_again_in_every_mode_in_dom0_too",
    ),
    "what is in use now plus a twentieth of MemTotal (at least 16 MiB), and not below what": (
        f"{_BALLOON}::test_down_keeps_what_is_in_use_and_some_air",
        f"{_BALLOON}::test_down_of_an_idle_guest_stops_at_the_floor_of_its_size",
    ),
    "a floor set too low squeezes nobody": (
        f"{_RUNS}::test_a_floor_set_too_low_does_not_make_a_guard_squeeze_a_guest_that_is_short",
    ),
    "a program that takes more for each request is not squeezed between two of them": (
        f"{_RUNS}::test_a_guard_does_not_squeeze_a_workload_between_two_of_its_peaks",
    ),
    "Until it has watched for 15 s it leaves twice the air": (
        "core/policy/test_policy_guard.py::test_a_demand_right_after_a_shrink_finds_air",
        "core/policy/test_policy_guard.py::test_once_it_has_been_watched_for_a_while_a_guest_gives_that_air_as_well",
    ),
    "a guest at rest wakes nobody to tell it": (
        f"{_FLOOR}::test_a_settled_guest_wakes_nobody_to_say_that_it_needs_more_or_less",
        f"{_FLOOR}::test_while_a_shrink_is_held_the_host_knows_the_floor_closely",
    ),
    "so it is put back before anything else is read": (
        f"{_PROTECTS}::test_a_reflex_puts_back_what_holds_and_nothing_else",
    ),
    "also the same once more, whatever the agent wrote a moment ago, with `static-max` lowered": (
        f"{_PROTECTS}::test_nothing_is_killed_however_the_host_asks",
    ),
    "while the driver is being woken": (
        f"{_PROTECTS}::test_a_driver_that_is_being_woken_is_held_when_the_guest_comes_to_need_more",
    ),
    "after a start into a target below the floor": (
        f"{_PROTECTS}::test_a_target_below_the_floor_is_held_that_was_there_when_the_daemon_started",
    ),
    "under another domain number": (
        f"{_PROTECTS}::test_another_domain_number_neither_lifts_the_cooldown_nor_what_is_held",
    ),
    "read every millisecond until the kernel has been seen to act": (
        f"{_PROTECTS}::test_after_an_ask_the_kernels_target_is_read_each_millisecond_until_it_has_acted",
    ),
    "after any number of asks the guest is never further below its floor": (
        "fuzz/test_guard.py::test_no_guest_sinks_further_below_its_floor_than_its_hosts_asks_allow",
        "daemon/test_guard_as_a_process.py::test_a_second_ask_a_moment_later_takes_no_more_than_two_batches_for_each",
    ),
    "for every ask of the next five minutes at the pace it has": (
        f"{_PROTECTS}::test_the_air_for_more_asks_follows_from_how_often_they_come_and_melts_away",
        f"{_PROTECTS}::test_what_an_ask_has_cost_here_is_kept_in_mind",
        f"{_SCHEDULES}::test_small_steps_five_seconds_apart_are_held_well_above_the_floor",
    ),
    "it sets that itself where it may": (
        "daemon/test_daemon_published.py::test_it_takes_precedence_over_other_programs",
    ),
    "nothing is killed, no guest is short of memory, and none keeps more than it may": (
        f"{_SCHEDULES}::test_with_a_guard_it_does_and_the_host_gets_what_can_be_spared",
        f"{_SCHEDULES}::test_left_alone_a_guest_does_not_survive_any_of_them",
    ),
    "A demand of that size costs nothing": (
        f"{_SELF}::test_without_pressure_triggers_a_demand_within_the_reserve_costs_no_program",
        f"{_SELF}::test_what_was_needed_lately_is_there_when_it_is_needed_again",
    ),
    "the agent looks again before half of the reserve can be gone": (
        f"{_SELF}::test_while_the_use_grows_the_agent_looks_more_often",
    ),
    "everything the host allows is taken at once": (
        f"{_SELF}::test_a_sudden_demand_that_the_host_allows_costs_no_program",
    ),
    "goes on in mode `observe` and says so once": (
        f"{_DENIED}::test_what_is_denied_is_tried_every_ten_minutes_and_told_once",
    ),
    "after `systemctl reload` and after a resume, and says when it may write again": (
        f"{_DENIED}::test_a_reload_or_a_resume_tries_again_at_once",
        f"{_DENIED}::test_once_it_is_permitted_the_next_try_succeeds_and_says_so",
    ),
}
OF_XENSTORE: Final[Claims] = {
    "Only when it has changed, and at a limited rate. A key that xenstore refuses is said once": (
        f"{_PUBLISHER}::test_only_what_changed_is_written_and_the_sequence_comes_last",
        f"{_PUBLISHER}::test_a_refused_key_is_told_once_and_never_tried_again",
    ),
    "One that is there and that this agent has not made is theirs": (
        f"{_PUBLISHER}::test_what_another_agent_or_the_host_has_made_is_not_written_over",
        f"{_PUBLISHER}::test_an_agent_that_comes_later_has_its_keys_from_then_on",
    ),
    "for a daemon started later and for `run --forget`": (
        f"{_PUBLISHER}::test_a_daemon_that_starts_again_goes_on_with_what_the_one_before_it_made",
        f"{_PUBLISHER}::test_what_is_ours_is_recorded_before_it_is_there",
    ),
    "once the balloon has been where the host wants it for `timing.grace`, never before": (
        f"{_PUBLISHER}::test_squeezed_hears_of_the_guest_only_once_its_balloon_has_come_to_rest",
        "daemon/test_beside_toolstacks.py::test_a_guest_that_never_comes_to_rest_is_never_announced",
        "daemon/test_beside_toolstacks.py::test_a_host_that_takes_the_guest_in_measures_it_anew_and_at_rest",
    ),
    "1 from the moment the host asks for another size": (
        "daemon/test_beside_toolstacks.py::test_a_save_is_kept_waiting_from_the_moment_the_host_asks",
        "daemon/test_motion.py::test_a_save_waits_from_the_moment_the_host_has_asked",
    ),
    "`finding`: worked out once the host has been told all else": (
        "daemon/test_published_finding.py::test_the_host_hears_what_is_wrong_right_after_all_else_and_with_a_sequence_of_its_own",
    ),
    "in every mode but `self` the most that was used within the last 15 to 30 s counts": (
        f"{_FLOOR}::test_while_a_shrink_is_held_the_host_knows_the_floor_closely",
        f"{_FLOOR}::test_who_has_asked_for_less_hears_what_programs_take_for_a_moment_and_for_6_s_only",
    ),
    "Looked at anew whenever the host asks for something, the same again included": (
        f"{_FLOOR}::test_a_host_that_asks_again_for_the_same_reads_the_floor_of_now",
        f"{_FLOOR}::test_while_a_shrink_is_held_the_host_knows_the_floor_closely",
    ),
    "nine of ten figures are there within half a second of when Qubes' own writer": (
        "recordings/test_use_as_recorded.py::test_nine_of_ten_figures_are_written_within_half_a_second_of_the_real_ones",
    ),
    "`state` becomes `stopped`, and every figure below `data/balloon` goes": (
        f"{_PUBLISHER}::test_what_stays_at_the_end_says_that_the_daemon_stopped_and_gives_no_figure",
        f"{_PROCESS}::test_after_a_stop_the_host_sees_that_it_stopped_and_no_figure_gone_stale",
    ),
    "`target_kb` (what is in force) and `follow_kb`": (
        f"{_PUBLISHER}::test_a_target_of_the_agents_own_stays_with_the_one_that_would_follow_the_host",
    ),
    "systemd starts it again after two seconds": (
        "daemon/test_killed_anywhere.py::test_killed_anywhere_again_and_again_it_leaves_the_guest_no_worse_off",
        "daemon/test_service_unit.py::test_every_line_of_the_service_has_its_reason_in_the_security_document",
    ),
    "gives the kernel `follow_kb` where the agent's own target is still in force": (
        f"{_PROCESS}::test_a_target_of_its_own_is_given_up_when_it_is_taken_back",
        f"{_PROCESS}::test_a_target_the_host_has_set_since_is_not_touched",
        f"{_PROCESS}::test_the_removal_of_an_installed_service_takes_back_what_was_published",
    ),
    "goes where this agent made it and no other agent has said that it is there": (
        f"{_SHARED}::test_of_other_toolstacks_keys_what_nobody_counts_on_is_taken_back",
        f"{_SHARED}::test_what_another_agent_has_made_is_left_alone_to_the_last",
    ),
    "`control/feature-balloon` and `data/updated` stay": (
        "daemon/test_beside_toolstacks.py::test_after_the_agent_the_hosts_accounts_are_as_with_it",
    ),
    "`memory/meminfo` becomes `stopped`": (
        f"{_SHARED}::test_a_qube_says_at_the_end_that_it_reports_no_more_and_can_begin_again",
        "daemon/test_beside_toolstacks.py::test_a_stop_leaves_the_qube_its_figure_and_a_purge_leaves_it_in_peace",
    ),
}
CLAIMS: Final[dict[str, Claims]] = {
    SECURITY: OF_SECURITY,
    MODES: OF_MODES,
    XENSTORE: OF_XENSTORE,
}


def spaced(text: str) -> str:
    """The text on one line, without what makes words bold."""
    return " ".join(text.replace("**", "").split())


def pieces(document: str, part: str) -> Iterator[str]:
    """The paragraphs, points and rows of one part; no screens, no heads of tables."""
    whole = text_of(TOP / document)
    body = re.search(rf"^#+ {re.escape(part)}\n(.*?)(?=^#+ |\Z)", whole, re.MULTILINE | re.DOTALL)
    assert body, f"{document} has lost its part {part}"
    plain = re.sub(r"<!--.*?-->|^```.*?^```", "", body[1], flags=re.MULTILINE | re.DOTALL)
    plain = re.sub(r"^\|.*\|\n\|[-|]+\|$", "", plain, flags=re.MULTILINE)
    for piece in re.split(r"\n\s*\n|\n(?=- |\| )", plain):
        if spaced(piece):
            yield spaced(piece)


@pytest.mark.parametrize(
    ("document", "claim"), [(name, claim) for name, claims in CLAIMS.items() for claim in claims]
)
def test_a_claim_stands_in_its_document_and_names_tests_that_exist(
    document: str, claim: str
) -> None:
    assert spaced(claim) in spaced(text_of(TOP / document))
    for test in CLAIMS[document][claim]:
        assert is_there(f"tests/{test}"), test


@pytest.mark.parametrize(
    ("document", "part"), [(name, part) for name, parts in PARTS.items() for part in parts]
)
def test_nothing_is_promised_that_no_test_holds(document: str, part: str) -> None:
    claims = [spaced(claim) for claim in CLAIMS[document]]
    found = list(pieces(document, part))
    assert found
    for piece in found:
        if part in ROWS_HELD_ELSEWHERE and piece.startswith("|"):
            continue
        told = piece.startswith(TOLD[document])
        assert told or any(claim in piece for claim in claims), piece
