# SPDX-License-Identifier: GPL-2.0-or-later
"""Faults that were found by attack: how each fix is undone, and the tests that fail without it.

Where two fixes back each other up, both are undone.
"""

from __future__ import annotations

from typing import Final, NamedTuple

_TURN: Final = "agent/daemon/turn.py"
_LOOP: Final = "agent/daemon/loop.py"
_DECIDE: Final = "agent/core/policy/decide.py"
_HISTORY: Final = "agent/core/policy/history.py"
_PROTECTS: Final = "tests/core/policy/test_policy_protects.py"
_REPORTER: Final = "agent/daemon/reporter.py"
_KEYS: Final = "agent/daemon/published_keys.py"
_TABLE: Final = "agent/daemon/key_table.py"
_USE: Final = "agent/daemon/use_report.py"
_BESIDE: Final = "tests/daemon/test_beside_toolstacks.py"
_PROCESS: Final = "tests/daemon/test_own_process_beside_toolstacks.py"
_RECORDED: Final = "tests/recordings"
_CALIBRATED: Final = (
    "tests/daemon/test_recorded_calibrations.py::"
    "test_a_recorded_guest_is_measured_at_rest_or_not_at_all"
)
_STEPS: Final = "agent/core/host/mem_set.py"
_SETS: Final = "tests/core/host/test_mem_set.py"
_RULES: Final = "tests/core/findings/test_rules.py"
_FOLLOW: Final = "tests/core/policy/test_follow_rules.py"
_KINDS: Final = "tests/daemon/test_kernels_of_all_kinds.py"
_KILLED: Final = f"{_PROTECTS}::test_nothing_is_killed_however_the_host_asks"


class Undo(NamedTuple):
    """In that file, `old` becomes `new`, wherever it stands."""

    file: str
    old: str
    new: str


class Reverted(NamedTuple):
    """A fault, how it comes back, and which tests then fail, each of them."""

    fault: str
    undone_by: tuple[Undo, ...]
    tests: tuple[str, ...]


_NO_REFLEX: Final = Undo(
    "agent/core/policy/reflex.py",
    "if not history.sinks_below(hold_kib, target_kib):",
    "if target_kib is not None:",
)

FIXES: Final = (
    Reverted(
        "a second value within the cooldown of the first",
        (
            _NO_REFLEX,
            Undo(_DECIDE, "protects = seen.target_kib < target_kib <= had_kib", "protects = False"),
        ),
        (f"{_KILLED}[another value within the cooldown-guard]",),
    ),
    Reverted(
        "the same value written again while it is held",
        (
            _NO_REFLEX,
            Undo(_HISTORY, "asked = asked or first or (", "asked = first or ("),
            Undo(_TURN, 'asked = "asked" in causes', "asked = False"),
            Undo(_LOOP, "self._await_kernel(now_s)", "pass"),
        ),
        (f"{_KILLED}[the same value while it is held-guard]",),
    ),
    Reverted(
        "static-max lowered below what is held",
        (
            _NO_REFLEX,
            Undo(_DECIDE, "target_kib > max(seen.most_kib, had_kib)", "target_kib > seen.most_kib"),
        ),
        (f"{_KILLED}[after static-max was lowered-guard]",),
    ),
    Reverted(
        "a target that no machine could have",
        (
            Undo(
                "agent/core/facts/numbers.py",
                "if not is_size(abs(kib)):",
                "if abs(kib) > _LARGEST:",
            ),
        ),
        ("tests/sources/test_bounds.py::test_a_target_beyond_any_machine_is_no_target",),
    ),
    Reverted(
        "a target below zero is not what the file beside it says",
        (
            Undo(
                "agent/core/findings/units_trap.py",
                "balloon.target_kib * KIB == balloon.target_bytes",
                "balloon.target_kib * KIB % (1 << 64) == balloon.target_bytes",
            ),
        ),
        (f"{_RULES}::test_a_target_below_zero_or_beyond_measure_is_the_same_in_both[-4--4096]",),
    ),
    Reverted(
        "a driver domain's target is called the agent's own when it stops",
        (
            Undo(
                _DECIDE,
                "not is_left_alone(situation, settings)",
                "not situation.snapshot.domain.is_dom0",
            ),
        ),
        (
            "tests/daemon/test_publisher.py::test_where_the_agent_sets_no_target_no_floor_and_none_of_its_own_are_told[guest1-True-False-False]",
        ),
    ),
    Reverted(
        "mode self gives and takes the host's target without end where Xen refuses its own",
        (
            Undo(
                "agent/core/policy/self_balloon.py",
                "grows = is_own and view.current_kib < view.target_kib",
                "grows = False",
            ),
        ),
        (
            f"{_KINDS}::test_a_guest_that_xen_keeps_below_its_own_target_is_told_it_less_and_less_often[5.10]",
            f"{_KINDS}::test_a_guest_that_xen_keeps_below_its_own_target_is_told_it_less_and_less_often[6.1]",
        ),
    ),
    Reverted(
        "a driver that is being woken is not held",
        (
            Undo(
                _DECIDE,
                "    guard.hold,\n    follow.finish_nudge,\n",
                "    follow.finish_nudge,\n    guard.hold,\n",
            ),
            Undo(
                "agent/core/policy/follow.py",
                "nudge is None or nudge.restore_kib < view.floor_kib",
                "nudge is None",
            ),
        ),
        (
            f"{_PROTECTS}::test_a_driver_that_is_being_woken_is_held_when_the_guest_comes_to_need_more",
        ),
    ),
    Reverted(
        "a target that the kernel reads as nothing is not held",
        (
            _NO_REFLEX,
            Undo(
                "agent/core/policy/guard.py",
                "if not view.history.sinks_below(",
                "if view.aim_kib is None or not view.history.sinks_below(",
            ),
            Undo(
                "agent/core/policy/guard.py",
                "if asked_kib is None or asked_kib >= view.current_kib:",
                "if view.aim_kib is None or asked_kib is None or asked_kib >= view.current_kib:",
            ),
        ),
        (
            f"{_PROTECTS}::test_a_target_below_the_floor_is_held_that_was_there_when_the_daemon_started[0x80000-guard]",
        ),
    ),
    Reverted(
        "a guest that was started with nothing makes every look fail",
        (
            Undo(
                "agent/core/account/boot_facts.py",
                "not 0 < populated_kib <= counted_kib",
                "not 0 <= populated_kib <= counted_kib",
            ),
            Undo(
                "agent/core/account/boot_facts.py",
                "if found is None or found[0] < PAGE_KIB:",
                "if found is None:",
            ),
        ),
        (
            "tests/core/account/test_boot_facts.py::test_a_guest_is_never_taken_to_have_started_with_nothing[0]",
        ),
    ),
    Reverted(
        "a write that failed is tried again after the cooldown",
        (Undo(_HISTORY, "REFUSED_FIRST_S: Final = 0.001", "REFUSED_FIRST_S: Final = 1.0"),),
        (
            f"{_KILLED}[when the first write fails-guard]",
            f"{_PROTECTS}::test_a_write_that_is_refused_is_tried_again_at_once_and_then_less_and_less_often",
        ),
    ),
    Reverted(
        "a write that fails for ever is tried for ever as fast",
        (Undo(_HISTORY, "2.0 ** min(times, 60)", "1.0"),),
        (
            f"{_PROTECTS}::test_a_write_that_is_refused_is_tried_again_at_once_and_then_less_and_less_often",
        ),
    ),
    Reverted(
        "a host that flips the domain's number lifts the cooldown",
        (Undo(_HISTORY, "        wrote_s=history.wrote_s,\n", ""),),
        (f"{_PROTECTS}::test_another_domain_number_neither_lifts_the_cooldown_nor_what_is_held",),
    ),
    Reverted(
        "a host that asks each second takes more with each ask",
        (Undo("agent/core/policy/asks.py", "return int(self.cost_kib * more)", "return 0"),),
        (
            "tests/sim_backend/stories/test_schedules.py::test_small_steps_five_seconds_apart_are_held_well_above_the_floor",
        ),
    ),
    Reverted(
        "a pause that is over makes the daemon spin",
        (
            Undo(
                "agent/daemon/publisher.py",
                "if key in wanted and at_s > now_s), default=None)",
                "), default=None)",
            ),
        ),
        (
            "tests/daemon/test_publisher.py::test_a_pause_that_is_over_of_a_key_nobody_wants_any_more_wakes_nobody",
        ),
    ),
    Reverted(
        "beside a key in its pause every look fails once a figure moves a little",
        (
            Undo(
                "agent/daemon/publisher.py",
                "(at_s for key, at_s in paused if key in wanted and at_s > now_s)",
                "(self._paused_until_s[key] for key in wanted)",
            ),
        ),
        (
            "tests/daemon/test_publisher.py::test_beside_a_key_that_pauses_a_figure_may_move_a_little",
        ),
    ),
    Reverted(
        "no look is planned after the most actions of one turn",
        (Undo(_TURN, "return now_s  # there is more to do", "return None"),),
        (
            "tests/daemon/test_many_blocks.py::test_more_blocks_than_one_turn_puts_online_all_go_online",
        ),
    ),
    Reverted(
        "thousands of blocks hold the daemon up",
        (
            Undo(
                "agent/core/account/hot_added.py", "later = frozenset(added)", "later = list(added)"
            ),
        ),
        ("tests/fuzz/test_growth.py::test_a_guest_is_judged_in_proportion_to_its_size",),
    ),
    Reverted(
        "any user can hold the daemon's lock",
        (
            Undo(
                "agent/daemon/runtime_directory.py",
                "_LOCK_MODE: Final = 0o600",
                "_LOCK_MODE: Final = 0o644",
            ),
        ),
        ("tests/daemon/test_no_wakeup_is_lost.py::test_nobody_but_its_owner_can_open_the_lock",),
    ),
    Reverted(
        "a file system without locks passes for another daemon",
        (Undo("agent/daemon/runtime_directory.py", "except BlockingIOError:", "except OSError:"),),
        (
            "tests/daemon/test_runtime_directory.py::test_a_file_system_that_has_no_locks_is_no_other_daemon",
        ),
    ),
    Reverted(
        "an xl that hangs up ends the published host",
        (
            Undo(
                "sim_backend/published/xl.py",
                "contextlib.suppress(OSError)",
                "contextlib.suppress(KeyError)",
            ),
        ),
        (
            "tests/sim_backend/published/test_host.py::test_an_xl_that_hangs_up_before_its_answer_does_not_end_the_host",
        ),
    ),
    Reverted(
        "a slow xenstored holds up a stop",
        (Undo(_LOOP, "self._link.session.end_by(time.monotonic() + _LAST_WORDS_S)", "pass"),),
        ("tests/daemon/test_beside_a_slow_xenstored.py::test_it_ends_in_time",),
    ),
    Reverted(
        "a slow xenstored holds up a start",
        (Undo(_LOOP, "link.session.end_by(time.monotonic() + _FIRST_WORDS_S)", "pass"),),
        (
            "tests/daemon/test_beside_a_slow_xenstored.py::test_it_starts_in_time_and_says_the_rest_later[1.4]",
        ),
    ),
    Reverted(
        "a slow xenstored holds up a command",
        (Undo("agent/sources/xenstore/pyxs_client.py", "if self._left_s <= 0:", "if False:"),),
        (
            "tests/sources/xenstore/test_pyxs.py::test_a_xenstored_that_is_always_late_counts_as_lost_when_patience_is_over",
        ),
    ),
    Reverted(
        "a transaction of a number that no packet can carry",
        (Undo("agent/sources/xenstore/requests.py", " and int(answer) < 1 << 32", ""),),
        (
            "tests/sources/xenstore/test_pyxs.py::test_a_transaction_without_a_number_is_no_transaction",
        ),
    ),
    Reverted(
        "an empty entry among a key's permissions ends the doctor",
        (Undo("agent/sources/xenstore/key_store.py", ' or "" in entries', ""),),
        (
            "tests/sources/xenstore/test_key_store.py::test_who_may_write_is_told_by_whole_entries_alone",
        ),
    ),
    Reverted(
        "a capture names the program that the OOM killer took",
        (
            Undo(
                "agent/sources/kernel_log.py",
                "for kill in _OF_A_KILL:",
                "for kill in (*GROUP_KILLS, GROUP_CONSTRAINT):",
            ),
        ),
        ("tests/sources/test_kernel_log.py::test_a_capture_does_not_tell_who_was_killed",),
    ),
    Reverted(
        "a capture's kernel writes to the terminal, in its release",
        (Undo("agent/sources/system_root.py", "if not line.isprintable():", "if False:"),),
        ("tests/sources/test_trees.py::test_a_version_that_no_terminal_survives_is_none",),
    ),
    Reverted(
        "a peek of 32 bits takes a target below zero for 4 TiB",
        (
            Undo(
                "agent/sources/xen_memory.py",
                "if target_kib is None or target_kib < _WRAPPED_32_KIB - _MOST_32_KIB:",
                "if True:",
            ),
        ),
        (
            "tests/sources/test_bounds.py::test_a_target_below_zero_is_the_same_in_both_files_whatever_the_kernels_bits",
        ),
    ),
    Reverted(
        "a xenstored that died is never missed",
        (Undo(_LOOP, "            link.ask(now_s)\n", ""),),
        (
            "tests/daemon/test_watchdog.py::test_an_xenstored_that_says_nothing_any_more_is_missed_at_the_next_ping",
        ),
    ),
    Reverted(
        "a host that could not be asked is said to ask for nothing",
        (Undo("agent/core/policy/follow.py", "if why is not None:", "if False:"),),
        (
            "tests/core/policy/test_policy_leaves_alone.py::test_of_a_host_that_could_not_be_asked_nothing_is_said",
        ),
    ),
    Reverted(
        "a line of the kernel's log takes the square of its length",
        (
            Undo("agent/sources/kernel_log.py", "line[:_LONGEST_LINE]", "line"),
            Undo("agent/sources/kernel_log.py", "(line, 0, _LONGEST_LINE)", "(line)"),
            Undo("agent/sources/kernel_log.py", "([^()]{1,300})", "(.*reserved.*)"),
        ),
        ("tests/fuzz/test_growth.py::test_a_part_that_is_repeated_takes_time_in_proportion",),
    ),
    Reverted(
        "the choice of a log's lines takes the square of a line",
        (
            Undo(
                "agent/sources/kernel_log.py",
                "any(word in line for word in _RELEVANT_WORDS)",
                'bool(re.search("Memory: .*available|Freeing .*memory", line))',
            ),
        ),
        ("tests/fuzz/test_growth.py::test_a_capture_keeps_of_a_log_what_it_keeps_in_time",),
    ),
    Reverted(
        "a range to the last address makes a set of every section",
        (
            Undo(
                "agent/core/boot/cost.py",
                "sum(sections.stop - sections.start for sections in touched)",
                "len({n for one in touched for n in range(*one)})",
            ),
        ),
        (
            "tests/core/boot/test_boot_cost.py::test_a_range_to_the_last_address_takes_no_memory_to_sum",
        ),
    ),
    Reverted(
        "a number of hundreds of digits",
        (Undo("agent/core/facts/numbers.py", "if not is_size(kib):", "if False:"),),
        ("tests/sources/test_bounds.py::test_the_largest_machine_is_believed",),
    ),
    Reverted(
        "a digit that is none",
        (
            Undo(
                "agent/core/facts/numbers.py",
                "len(text) <= most and text.isascii() and text.isdigit()",
                "text.isdigit()",
            ),
        ),
        ("tests/sources/test_bounds.py::test_only_digits_are_the_number_of_a_process",),
    ),
    Reverted(
        "a time that no calendar has",
        (
            Undo(
                "agent/sources/daemon_status.py",
                'number(entry, "time", LARGEST_TIME_S)',
                'number(entry, "time", 1 << 70)',
            ),
        ),
        ("tests/sources/test_bounds.py::test_a_decision_that_no_calendar_has_is_not_one",),
    ),
    Reverted(
        "a key of a hundred thousand parts",
        (Undo("agent/daemon/config/load.py", "> _MOST_DOTS for", "> 2 * _MOST_DOTS for"),),
        ("tests/daemon/config/test_config.py::test_a_key_of_many_parts_is_refused_at_once",),
    ),
    Reverted(
        "a FIFO in a capture hangs whoever asks psutil",
        (
            Undo(
                "agent/sources/meminfo.py",
                "    if not root.is_live:\n        return None\n    try:",
                "    try:",
            ),
        ),
        ("tests/sources/test_meminfo.py::test_psutil_is_asked_of_the_running_kernel_alone",),
    ),
    Reverted(
        "somebody's file becomes root's archive",
        (
            Undo(
                "agent/report/whole_file.py",
                "os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW",
                "os.O_CREAT",
            ),
        ),
        ("tests/report/test_capture_archive.py::test_a_name_that_is_guessed_is_still_not_opened",),
    ),
    Reverted(
        "somebody's link or FIFO takes what a command writes",
        (
            Undo(
                "agent/report/whole_file.py",
                'f"{path}.{os.urandom(8).hex()}.part"',
                "path",
            ),
            Undo(
                "agent/report/whole_file.py", "os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW", "os.O_CREAT"
            ),
            Undo("agent/report/whole_file.py", "os.replace(unfinished, path)", "pass"),
        ),
        (
            "tests/cli/test_simulate.py::test_what_is_planted_where_a_plot_is_to_be_leads_nowhere_and_holds_nothing_up[link]",
        ),
    ),
    Reverted(
        "what a link in a capture leads to is opened",
        (
            Undo(
                "agent/sources/system_root.py",
                "os.O_PATH | os.O_CLOEXEC | flags & os.O_NOFOLLOW",
                "flags",
            ),
        ),
        (
            "tests/sources/test_system_root.py::test_what_a_link_leads_to_outside_is_not_even_opened",
        ),
    ),
    Reverted(
        "many connections close the metrics' port for good",
        (
            Undo(
                "systemd/balloon-agent-metrics.socket",
                "TriggerLimitIntervalSec=0",
                "TriggerLimitIntervalSec=2s",
            ),
        ),
        (
            "tests/monitoring/test_units.py::test_the_exporter_is_a_socket_that_starts_one_process_a_connection",
        ),
    ),
    Reverted(
        "a pipe that has nothing yet is an empty configuration",
        (
            Undo(
                "agent/daemon/config/load.py",
                "if not content or not whole:",
                "if False:",
            ),
        ),
        (
            "tests/daemon/config/test_config.py::test_a_pipe_that_gives_nothing_is_no_empty_configuration",
        ),
    ),
    Reverted(
        "an interpreter that others may write serves root",
        (
            Undo(
                "agent/service/fitness.py",
                "if by_group or found.st_mode & stat.S_IWOTH:",
                "if False:",
            ),
        ),
        (
            "tests/cli/test_install_service.py::test_what_somebody_else_could_replace_does_not_serve_root",
        ),
    ),
    Reverted(
        "a stall is forgotten when a reconnect fails in the same moment",
        (Undo(_LOOP, "return causes | news", "return causes | news if link.is_up else set()"),),
        (
            "tests/daemon/test_no_wakeup_is_lost.py::test_a_stall_is_looked_at_when_a_try_to_reconnect_fails_in_the_same_moment",
        ),
    ),
    Reverted(
        "released pages are taken again in some modes only",
        (Undo(_DECIDE, "return follow.released_pages(seen) or nothing(", "return nothing("),),
        (f"{_PROTECTS}::test_released_pages_are_taken_again_in_every_mode_in_dom0_too",),
    ),
    Reverted(
        "squeezed hears of a guest whose balloon still moves",
        (Undo(_REPORTER, "came_to_rest=self.came_to_rest,", "came_to_rest=True,"),),
        (
            f"{_CALIBRATED}[calibration/pv-grow]",
            f"{_CALIBRATED}[calibration/pvh-shrink]",
            f"{_BESIDE}::test_a_guest_that_never_comes_to_rest_is_never_announced",
            f"{_PROCESS}::test_a_life_beside_squeezed_from_a_moving_balloon_to_the_purge",
        ),
    ),
    Reverted(
        "data/updated is there before the balloon has come to rest",
        (
            Undo(
                _KEYS,
                '    if came_to_rest and profile == "xapi":',
                '    keys[UPDATED] = time_of_day\n    if came_to_rest and profile == "xapi":',
            ),
        ),
        (
            f"{_CALIBRATED}[calibration/pv-grow]",
            f"{_CALIBRATED}[calibration/hvm-never-rests]",
            f"{_PROCESS}::test_a_life_beside_squeezed_from_a_moving_balloon_to_the_purge",
        ),
    ),
    Reverted(
        "a save does not wait for the balloon",
        (Undo(_KEYS, 'keys[k.ACTIVE] = "1" if in_motion else "0"', 'keys[k.ACTIVE] = "0"'),),
        (f"{_BESIDE}::test_a_save_is_kept_waiting_from_the_moment_the_host_asks",),
    ),
    Reverted(
        "a purge takes back what squeezed counts on",
        (
            Undo(
                _TABLE,
                'first="at rest", at_stop="stays", on_forget="stays",',
                'first="at rest", at_stop="stays", on_forget="goes",',
            ),
        ),
        (
            f"{_BESIDE}::test_after_the_agent_the_hosts_accounts_are_as_with_it[purge]",
            f"{_PROCESS}::test_a_life_beside_squeezed_from_a_moving_balloon_to_the_purge",
        ),
    ),
    Reverted(
        "a stop removes what the toolstacks go by",
        (Undo(_TABLE, 'return BY_NAME[name].on_forget == "goes" and', "return"),),
        (
            f"{_BESIDE}::test_a_restart_changes_nothing_for_the_host",
            f"{_BESIDE}::test_a_stop_leaves_the_qube_its_figure_and_a_purge_leaves_it_in_peace",
            f"{_PROCESS}::test_a_life_beside_qmemman_with_a_leak_from_the_start_to_the_purge",
        ),
    ),
    Reverted(
        "a purge removes memory/meminfo, which nobody can make again",
        (Undo(_TABLE, 'on_forget="says so"', 'on_forget="goes"'),),
        (
            f"{_BESIDE}::test_a_stop_leaves_the_qube_its_figure_and_a_purge_leaves_it_in_peace",
            f"{_PROCESS}::test_a_life_beside_qmemman_with_a_leak_from_the_start_to_the_purge",
        ),
    ),
    Reverted(
        "what another agent made is written over",
        (Undo("agent/daemon/ownership.py", "if not is_shared(name):", "if True:"),),
        (
            f"{_RECORDED}/test_beside_xe_daemon_as_recorded.py::test_every_key_of_xe_daemons_ends_as_if_it_had_been_alone",
            f"{_PROCESS}::test_beside_xe_daemon_a_life_ends_with_all_its_keys_as_it_wrote_them",
            f"{_BESIDE}::test_beside_qubes_own_writer_the_daemon_reports_nothing",
        ),
    ),
    Reverted(
        "a qube's figure leaves out the kernel's own memory",
        (
            Undo(
                _USE,
                "return total_kib - memory.free_kib - memory.buffers_kib - page_cache_kib",
                "return memory.total_kib - memory.available_kib",
            ),
        ),
        (
            f"{_RECORDED}/test_use_as_recorded.py::test_the_figure_is_qubes_own_in_every_capture",
            f"{_BESIDE}::test_a_qube_that_is_squeezed_keeps_what_it_needs_as_with_the_real_writer",
        ),
    ),
    Reverted(
        "a qube that is nearly full is told of too late",
        (Undo(_USE, "return CHANGE_KIB // 2 if nearly_full", "return CHANGE_KIB if nearly_full"),),
        (
            f"{_RECORDED}/test_use_as_recorded.py::test_looking_as_often_it_writes_the_same_figures_at_the_same_moments",
        ),
    ),
    Reverted(
        "a qube's use is looked at each ten seconds",
        (Undo(_USE, "LOOK_CALM_S: Final = 1.0", "LOOK_CALM_S: Final = 10.0"),),
        (
            f"{_RECORDED}/test_use_as_recorded.py::test_nine_of_ten_figures_are_written_within_half_a_second_of_the_real_ones",
        ),
    ),
    Reverted(
        "a guest that has not given yet is taken for one that has",
        (Undo(_STEPS, "if rests and not guest.is_held and not _aims_above(guest):", "if rests:"),),
        (f"{_SETS}::test_a_guest_that_gives_slowly_has_given_only_when_it_is_there",),
    ),
    Reverted(
        "a guest's version takes columns from the rows of others",
        (
            Undo(
                "agent/report/guests_text.py",
                'cut(claims.version or "-", _LONGEST_VERSION)',
                'claims.version or "-"',
            ),
        ),
        (
            "tests/fuzz/test_targets.py::test_an_odd_input_of_the_corpus_holds[guest_claims/widest-version]",
        ),
    ),
    Reverted(
        "a guest could give more than the hypervisor counts",
        (
            Undo(
                "agent/core/host/guests.py",
                "if kib is None or self.has_kib is None else min(kib, self.has_kib)",
                "",
            ),
        ),
        (
            "tests/fuzz/test_targets.py::test_an_odd_input_of_the_corpus_holds[guest_claims/more-than-counted]",
        ),
    ),
    Reverted(
        "a look while the kernel takes the host's target: another batch lost with each ask",
        (Undo(_LOOP, "until_s = now_s + CLOSE_S", "until_s = now_s + 0.005"),),
        (
            "tests/daemon/test_kernel_acts_first.py::test_each_ask_of_a_host_that_goes_on_costs_one_batch[0.02]",
        ),
    ),
    Reverted(
        "mem-set that takes what programs want back in a moment",
        (Undo(_STEPS, "STAY_S: Final = 4.0", "STAY_S: Final = 0.0"),),
        (
            f"{_SETS}::test_what_programs_take_for_a_moment_now_and_then_is_left_to_them[2]",
            f"{_SETS}::test_at_each_size_downwards_it_stays_for_4_s",
        ),
    ),
    Reverted(
        "a peak between two looks that nobody tells the host",
        (Undo("agent/core/policy/looks.py", "WATCHED_S: Final = 6.0", "WATCHED_S: Final = 0.0"),),
        (
            "tests/daemon/test_published_floor.py::test_who_has_asked_for_less_hears_what_programs_take_for_a_moment_and_for_6_s_only[follow]",
        ),
    ),
    Reverted(
        "a driver that gave up, or a target that is ignored, for more than a week: no decision",
        (Undo(_HISTORY, "min(times, 60)", "times"),),
        (
            f"{_FOLLOW}::test_a_driver_that_gave_up_is_woken_less_and_less_often[9999-600]",
            f"{_FOLLOW}::test_a_target_that_is_ignored_again_and_again_is_written_less_and_less_often[9999-600]",
        ),
    ),
    Reverted(
        "a kernel that cuts targets to 2 MiB is told the same a thousand times a second",
        (
            Undo(
                "agent/core/policy/self_balloon.py",
                "view.history.sinks_below(next_kib, view.target_kib)",
                "view.target_kib < next_kib",
            ),
        ),
        (
            f"{_PROTECTS}::test_nor_is_a_kernel_that_cuts_targets_to_2_mib_told_the_same_again_and_again[self]",
        ),
    ),
    Reverted(
        "a path of bytes that are no UTF-8, on a standard output that is strict: a traceback",
        (Undo("agent/cli/main.py", 'errors="backslashreplace"', 'errors="strict"'),),
        ("tests/cli/test_terminals.py::test_a_path_of_any_bytes_is_spelled_out",),
    ),
    Reverted(
        "a port scanner's reset, which metrics --http reported as an internal error",
        (
            Undo(
                "agent/cli/endings.py",
                "(BrokenPipeError, ConnectionResetError, SystemExit)",
                "(BrokenPipeError, SystemExit)",
            ),
        ),
        ("tests/cli/test_metrics.py::test_a_peer_that_resets_the_connection_is_no_error[GE]",),
    ),
    Reverted(
        "half a service, where nobody reads what install-service says",
        (
            Undo(
                "agent/cli/install_service.py",
                "contextlib.suppress(OSError)",
                "contextlib.suppress(KeyError)",
            ),
        ),
        (
            "tests/cli/test_install_service.py::test_a_reader_that_goes_away_leaves_nothing_half_done",
        ),
    ),
    Reverted(
        "a kernel that cannot hot-add is told a hundred times a second to have more than there is",
        (
            Undo(
                "agent/core/policy/self_balloon.py",
                "min(aim_kib, driver.current_kib + driver.ballooned_kib)",
                "aim_kib",
            ),
        ),
        (f"{_PROTECTS}::test_nor_is_a_kernel_that_cannot_hot_add_told_to_have_more_than_there_is",),
    ),
    Reverted(
        "mode self gives memory back and takes it again, where the kernel cuts its targets",
        (
            Undo(
                "agent/core/policy/self_balloon.py",
                "is_own = view.history.is_own(view.target_kib)",
                "is_own = view.history.own_kib == view.target_kib",
            ),
        ),
        (f"{_PROTECTS}::test_what_the_kernel_cut_of_the_agents_own_target_is_its_own_still",),
    ),
    Reverted(
        "what the kernel cut of a step of the agent's own counts as another ask of the host's",
        (
            Undo(
                _HISTORY,
                "history.sinks_below(history.own_kib or 0, balloon.target_kib)",
                "balloon.target_kib < (history.own_kib or 0)",
            ),
        ),
        (f"{_PROTECTS}::test_what_the_kernel_cut_of_a_step_is_no_ask_of_the_hosts[guard]",),
    ),
    Reverted(
        "a fraction of a percent shown and not used",
        (
            Undo(
                "agent/daemon/config/load.py",
                'values["self.reserve_percent"]',
                'int(values["self.reserve_percent"])',
            ),
        ),
        ("tests/daemon/config/test_config.py::test_every_kind_of_value_is_understood",),
    ),
    Reverted(
        "this machine under another name read as a capture",
        (
            Undo(
                "agent/sources/system_root.py",
                'self._real_prefix == "/" and os.path.samefile(self.path, "/")',
                'self.path == "/"',
            ),
        ),
        ("tests/sources/test_system_root.py::test_this_machine_is_known_by_any_name",),
    ),
)
