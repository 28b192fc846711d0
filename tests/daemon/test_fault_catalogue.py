# SPDX-License-Identifier: GPL-2.0-or-later
"""Every fault the agent has to survive, and the tests that show that it does.

Paths are below tests/.  A fault without a test, or with one that is gone, is itself a failure.
"""

from __future__ import annotations

from typing import Final

import pytest

from tests.support.named_tests import is_there

SHOWN_BY: Final[dict[str, tuple[str, ...]]] = {
    "xenstored restarts, or closes the connection in the middle of a request": (
        "daemon/test_daemon_process.py::test_a_restart_of_xenstored_is_noticed_and_nothing_is_missed",
        "daemon/test_daemon_published.py::test_a_target_that_changed_while_xenstored_was_away_is_followed",
        "sources/xenstore/test_answers.py::test_a_peer_that_hangs_up_is_a_loss_whatever_came_before",
        "daemon/test_daemon_faults.py::test_a_xenstored_that_dies_again_and_again_is_tried_less_and_less_often",
    ),
    "xenstored is silent": (
        "sources/xenstore/test_session.py::test_a_stopped_xenstored_ends_in_a_timeout_not_a_hang",
        "daemon/test_daemon_process.py::test_it_ends_soon_while_xenstored_is_silent",
        "daemon/test_whole_runs.py::test_each_fault_alone_is_over_when_it_is_over",
    ),
    "an answer to another request, or a late one": (
        "sources/xenstore/test_answers.py::test_answers_to_somebody_else_are_dropped",
        "sources/xenstore/test_answers.py::test_the_late_answer_to_a_request_given_up_is_not_taken_for_another",
    ),
    "a packet that is too large, or whose head is nonsense": (
        "sources/xenstore/test_wire.py::test_an_oversize_packet_is_refused_from_its_header_alone",
        "sources/xenstore/test_process.py::test_nothing_is_read_or_allocated_by_a_length_the_peer_claims",
        "sources/xenstore/test_answers.py::test_malformed_traffic_closes_the_session",
    ),
    "a watch event that is malformed or nobody's": (
        "sources/xenstore/test_events.py::test_odd_events_neither_spin_nor_close_the_session",
        "sources/xenstore/test_watches.py::test_missing_and_extra_fields_do_not_hide_the_token",
    ),
    "a storm of watch events": (
        "daemon/test_daemon_process.py::test_a_storm_of_events_is_heard_a_few_times_a_second_and_nothing_is_missed",
        "sources/xenstore/test_events.py::test_a_storm_of_events_is_taken_in_bounded_parts_and_held_in_bounded_memory",
    ),
    "a watch that fires for nothing": (
        "sources/xenstore/test_session.py::test_a_watch_fires_at_once_and_at_each_change",
        "daemon/test_publisher.py::test_only_what_changed_is_written_and_the_sequence_comes_last",
    ),
    "memory/target is absent, deleted, there again": (
        "core/policy/test_policy_runs.py::test_dom0_is_left_alone_unless_configured",
        "sources/xenstore/test_key_store.py::test_without_xenstore_every_key_is_absent_and_so_is_xenstore",
        "daemon/test_whole_runs.py::test_each_fault_alone_is_over_when_it_is_over",
    ),
    "memory/target is not a number": (
        "core/facts/test_numbers.py::test_anything_else_is_refused_with_a_reason",
        "sources/test_parsers_on_garbage.py::test_any_bytes_are_a_value_or_refused",
        "daemon/test_daemon_process.py::test_what_the_host_asks_is_published_again_at_once",
        "sources/test_trees.py::test_a_target_that_is_no_number_is_kept_to_be_shown_and_made_harmless",
    ),
    "memory/target is extreme": (
        "core/policy/test_policy_invariants.py::test_no_numbers_however_odd_end_in_an_exception",
        "core/policy/test_policy_runs.py::test_not_even_the_hosts_own_target_is_written_below_the_floor",
        "daemon/test_whole_runs.py::test_the_promises_hold_in_every_run_of_the_daemon",
    ),
    "static-max is absent or contradicts": (
        "core/account/test_balloon.py::test_a_static_max_rewritten_after_boot_gives_way_to_the_settled_target",
        "core/policy/test_policy_runs.py::test_a_static_max_that_was_rewritten_before_the_agent_came_misleads_nobody",
        "core/account/test_balloon.py::test_the_offset_is_unknown_where_nothing_sane_tells_it",
    ),
    "the kernel and the agent write the target": (
        "core/policy/test_policy_runs.py::test_a_kernel_that_follows_by_itself_is_left_alone",
        "daemon/test_daemon_process.py::test_a_target_that_the_kernel_ignores_is_written_after_the_grace",
        "core/policy/test_policy_runs.py::test_two_who_write_the_target_do_not_fight_for_ever",
    ),
    "xenstore refuses: quota, permission, anything else": (
        "daemon/test_daemon_process.py::test_what_xenstore_refuses_is_told_once",
        "daemon/test_publisher.py::test_a_refused_key_is_told_once_and_never_tried_again",
        "daemon/test_publisher.py::test_a_quota_is_given_a_minute",
        "sources/xenstore/test_answers.py::test_an_error_is_told_by_its_kind_and_the_session_goes_on",
    ),
    "the xenbus device is missing or denied": (
        "daemon/test_daemon_process.py::test_without_xen_or_xenstore_it_ends_with_69",
        "daemon/test_daemon_process.py::test_a_user_without_rights_is_told_so",
        "sources/xenstore/test_transport.py::test_a_missing_device_is_told_from_a_denied_one",
        "sources/xenstore/test_transport.py::test_no_device_at_all_is_said_with_every_place_looked_at",
    ),
    "a write to target_kb is denied, fails, or is cut short": (
        "daemon/test_denied_writes.py::test_what_is_denied_is_tried_every_ten_minutes_and_told_once",
        "daemon/test_denied_writes.py::test_once_it_is_permitted_the_next_try_succeeds_and_says_so",
        "daemon/test_act.py::test_what_may_work_later_is_only_a_refusal",
        "sources/test_system_root.py::test_a_short_write_is_an_error_and_never_half_a_number",
        "daemon/test_daemon_process.py::test_a_target_that_cannot_be_written_does_not_end_it",
    ),
    "a kernel file says nonsense, nothing, or never ends": (
        "daemon/test_daemon_faults.py::test_whatever_the_kernels_files_say_a_look_ends_well",
        "sources/test_system_root.py::test_an_endless_file_is_read_to_the_limit_only",
        "sources/test_trees.py::test_a_damaged_file_is_malformed_and_all_others_are_read",
    ),
    "another kernel's files": (
        "sources/test_xen_memory.py::test_an_attribute_that_this_kernel_has_not_is_no_error",
        "sources/test_xen_memory.py::test_no_attribute_at_all_is_no_driver",
    ),
    "/proc/iomem hides its addresses": (
        "sources/test_trees.py::test_zeroed_addresses_are_hidden_and_not_an_empty_machine",
        "cli/test_terminals.py::test_an_ordinary_user_sees_the_map_the_sum_and_that_iomem_is_hidden",
    ),
    "the firmware map is absent, unordered, overlapping, or unknown": (
        "core/account/test_reconcile.py::test_iomem_stands_in_for_a_missing_firmware_map_and_is_named",
        "core/facts/test_memory_map.py::test_an_overlap_is_kept_counted_once_and_said",
        "core/facts/test_memory_map.py::test_an_unknown_type_is_kept_and_is_no_ram",
        "core/facts/test_memory_map.py::test_the_order_of_the_ranges_changes_no_number",
        "sources/test_trees.py::test_a_range_to_the_last_address_and_one_that_ends_before_it_starts",
    ),
    "the firmware map has ten thousand entries": (
        "sources/test_trees.py::test_a_map_of_10000_entries_is_read_whole",
        "sources/test_trees.py::test_a_map_of_more_entries_than_any_machine_has_is_refused_with_a_number",
    ),
    "pressure is not told, or no longer": (
        "sources/test_trees.py::test_pressure_that_is_switched_off_is_absent",
        "daemon/test_whole_runs.py::test_each_fault_alone_is_over_when_it_is_over",
        "core/policy/test_policy_self.py::test_without_pressure_triggers_a_demand_within_the_reserve_costs_no_program",
    ),
    "/proc/meminfo lacks MemAvailable, or is spaced oddly": (
        "sources/test_meminfo.py::test_a_kernel_without_mem_available_gets_an_estimate",
        "sources/test_meminfo.py::test_meminfo_is_read_whatever_its_spacing",
    ),
    "a target below what the guest uses": (
        "daemon/test_daemon_published.py::test_a_guarded_shrink_stops_at_the_floor_and_says_which",
        "core/policy/test_policy_runs.py::test_a_guarded_guest_keeps_its_workload_and_goes_on_when_there_is_room",
        "core/policy/test_policy_runs.py::test_without_a_guard_a_squeezed_guest_loses_its_workload",
    ),
    "the balloon never arrives": (
        "core/policy/test_policy_scenarios.py::test_the_policy_passes",
        "core/policy/test_policy_runs.py::test_waking_that_does_not_help_becomes_rare",
        "core/policy/test_policy_runs.py::test_a_driver_that_gave_up_is_woken_and_gets_its_exact_target_back",
    ),
    "the host changes its mind every second": (
        "core/policy/test_policy_scenarios.py::test_the_policy_passes",
        "daemon/test_publisher.py::test_a_flood_of_changes_is_slowed_down_and_the_last_value_gets_through",
    ),
    "suspended and resumed, or moved to another host": (
        "daemon/test_daemon_faults.py::test_after_a_migration_everything_is_told_to_the_new_host",
        "daemon/test_whole_runs.py::test_each_fault_alone_is_over_when_it_is_over",
        "sim_backend/published/test_published.py::test_after_a_resume_elsewhere_the_guest_has_another_directory",
    ),
    "the clock jumps": (
        "core/policy/test_policy_invariants.py::test_a_clock_that_stands_still_or_jumps_causes_no_burst",
        "core/policy/test_policy_self.py::test_a_clock_that_went_back_begins_anew",
    ),
    "the clock stands still, or a turn comes late": (
        "core/policy/test_policy_invariants.py::test_a_clock_that_stands_still_or_jumps_causes_no_burst",
        "daemon/test_whole_runs.py::test_the_promises_hold_in_every_run_of_the_daemon",
    ),
    "/run is full or read-only": (
        "daemon/test_runtime_directory_faults.py::test_a_full_run_is_told_once_and_the_status_comes_back_with_room",
        "daemon/test_runtime_directory_faults.py::test_a_run_that_was_never_writable_is_done_without",
        "daemon/test_daemon_process.py::test_a_full_disk_is_told_once_and_survived",
    ),
    "killed in the middle of writing": (
        "daemon/test_killed.py::test_killed_at_each_step_of_writing_it_leaves_a_whole_file",
        "daemon/test_killed.py::test_killed_at_random_it_leaves_a_whole_status_and_room_for_the_next",
    ),
    "the status is a dead daemon's": (
        "cli/test_explain.py::test_what_a_dead_daemon_left_is_shown_and_called_that",
    ),
    "the journal is full, broken or absent": (
        "daemon/test_journal_faults.py::test_a_journal_that_takes_no_lines_holds_nothing_up",
        "daemon/test_journal_faults.py::test_without_standard_descriptors_lines_go_nowhere_else",
        "daemon/test_journal_and_notify.py::test_a_journal_that_does_not_read_holds_nothing_up",
    ),
    "the same fault at every turn": (
        "daemon/test_journal_and_notify.py::test_the_same_fault_is_told_once_then_counted",
        "daemon/test_journal_and_notify.py::test_a_fault_that_comes_and_goes_all_the_time_fills_no_journal",
        "daemon/test_daemon_faults.py::test_a_fault_that_lasts_fills_no_journal",
    ),
    "no memory for a turn": (
        "daemon/test_memory_exhaustion.py::test_a_look_without_memory_is_dropped_freed_and_earns_no_ping",
        "daemon/test_memory_exhaustion.py::test_what_fails_outside_a_look_is_survived_without_a_ping_and_without_haste",
        "daemon/test_memory_exhaustion.py::test_too_little_memory_to_start_is_told_in_a_sentence",
    ),
    "no descriptor left, or one lost at every turn": (
        "daemon/test_descriptors.py::test_without_a_descriptor_left_it_lives_on_and_recovers",
        "daemon/test_descriptors.py::test_looks_and_connections_leave_no_descriptor_open",
    ),
    "memory that creeps up": (
        "daemon/test_memory_exhaustion.py::test_hundreds_of_looks_take_no_more_memory_than_the_first",
    ),
    "SIGTERM at any moment, more than once; SIGHUP with a broken file; SIGPIPE": (
        "daemon/test_signals.py::test_it_ends_soon_and_well_in_every_state",
        "daemon/test_signals.py::test_while_it_starts_it_ends_soon_too",
        "daemon/test_signals.py::test_to_be_told_again_and_again_changes_nothing",
        "daemon/test_daemon_process.py::test_a_changed_configuration_is_taken_and_a_broken_one_is_not",
        "cli/test_terminals.py::test_a_reader_that_goes_away_ends_the_command_in_silence",
    ),
    "a source that hangs": (
        "daemon/test_watchdog.py::test_a_source_that_hangs_or_fails_leaves_the_watchdog_hungry",
        "daemon/test_daemon_process.py::test_the_watchdog_is_fed_only_by_good_looks",
        "daemon/test_whole_runs.py::test_a_look_that_fails_all_the_time_feeds_no_watchdog",
    ),
    "a configuration that cannot be used": (
        "daemon/test_daemon_process.py::test_a_bad_configuration_ends_the_start",
        "daemon/config/test_config.py::test_what_is_wrong_is_named_with_file_and_key",
        "daemon/config/test_config.py::test_no_key_and_no_value_is_more_than_a_config_error",
        "daemon/config/test_config.py::test_files_that_cannot_be_read_are_errors_not_defaults",
    ),
    "an odd locale, terminal or output": (
        "daemon/test_odd_surroundings.py::test_it_serves_and_says_nothing_odd",
        "cli/test_terminals.py::test_an_output_that_is_not_utf_8_gets_ascii",
        "cli/test_terminals.py::test_a_closed_standard_output_is_no_traceback",
    ),
    "two daemons, or another agent": (
        "daemon/test_daemon_process.py::test_a_second_daemon_says_so_and_ends",
        "daemon/test_runtime_directory_faults.py::test_of_two_that_start_at_once_exactly_one_stays",
        "sources/test_doctor_sources.py::test_of_all_processes_only_agents_and_the_balloon_thread_are_kept",
    ),
    "no Xen; dom0; each type of guest": (
        "daemon/test_daemon_process.py::test_without_xen_or_xenstore_it_ends_with_69",
        "cli/test_command_line.py::test_a_machine_that_is_no_xen_domain_is_told_of_the_simulation",
        "core/policy/test_policy_runs.py::test_dom0_is_left_alone_unless_configured",
        "daemon/test_service_unit.py::test_dom0_is_xen_although_systemd_finds_no_virtualisation_there",
    ),
    "pages that are larger than 4 KiB": (
        "sources/test_trees.py::test_the_kernels_page_size_is_told_by_memtotal_and_the_zones",
        "core/facts/test_units.py::test_a_part_of_a_page_is_cut_as_the_kernel_does",
    ),
    "a quota that others of the guest have used up": (
        "daemon/test_publisher.py::test_a_quota_is_given_a_minute",
        "sources/xenstore/test_session.py::test_the_guests_watch_quota_is_a_quota_error_and_the_session_goes_on",
    ),
    "no byte code, and no place to write any": (
        "daemon/test_odd_surroundings.py::test_it_serves_and_says_nothing_odd",
    ),
    "warnings of Python": ("daemon/test_odd_surroundings.py::test_it_serves_and_says_nothing_odd",),
    "static-max is raised, memory is added": (
        "daemon/test_whole_runs.py::test_a_limit_that_is_raised_while_it_runs_is_noticed_at_once",
        "core/policy/test_policy_runs.py::test_blocks_that_the_kernel_left_offline_are_put_online",
    ),
    "swap is off, free or full": (
        "core/policy/test_policy_runs.py::test_free_swap_is_no_room_to_shrink_into",
        "core/plan/test_plan_target.py::test_where_swap_takes_what_is_too_much_it_is_only_risky",
    ),
    "a symlink or FIFO in the way of a file": (
        "daemon/test_daemon_process.py::test_a_planted_symlink_is_replaced_not_followed",
        "daemon/test_runtime_directory_faults.py::test_a_planted_fifo_is_replaced_and_never_waited_for",
        "daemon/test_runtime_directory_faults.py::test_a_directory_that_is_a_symlink_is_not_entered",
        "daemon/test_daemon_process.py::test_a_runtime_directory_that_others_may_write_is_not_used",
    ),
    "escape sequences in what the host says": (
        "cli/test_command_line.py::test_escapes_in_xenstore_are_spelled_out",
        "report/test_json.py::test_control_characters_leave_as_escapes",
    ),
}


@pytest.mark.parametrize("fault", SHOWN_BY)
def test_each_fault_is_shown_to_be_survived_by_a_test_that_exists(fault: str) -> None:
    assert SHOWN_BY[fault]
    for test in SHOWN_BY[fault]:
        assert is_there(f"tests/{test}"), test
