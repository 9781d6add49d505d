//! Stamps, whatever the clocks do. Times are milliseconds; the uninterrupted
//! clock begins at zero, the wall clock at a noon.

use cluster::{ClockEvent, ClockModel};
use model::time::Timestamp;
use proptest::prelude::*;
use std::time::Duration;

const NOON: i64 = 1_795_176_000_000;
const HOUR: i64 = 3_600_000;

fn model(last: i64) -> (ClockModel, Option<ClockEvent>) {
    ClockModel::new(Timestamp::from_ms(NOON), Duration::ZERO, Timestamp::from_ms(last))
}

/// Stamps once a second over a span, with the wall clock off by so much.
/// Returns the last stamp, relative to noon, and all events.
fn run(model: &mut ClockModel, from_s: u64, to_s: u64, off_ms: i64) -> (i64, Vec<ClockEvent>) {
    let mut events = Vec::new();
    let mut last = 0;
    for second in from_s..=to_s {
        let boot = Duration::from_secs(second);
        let wall = Timestamp::from_ms(NOON + second as i64 * 1000 + off_ms);
        let (stamp, event) = model.stamp(wall, boot);
        last = stamp.as_ms() - NOON;
        events.extend(event);
    }
    (last, events)
}

fn ms(ms: i64) -> Duration {
    Duration::from_millis(ms as u64)
}

#[test]
fn stamps_follow_a_good_clock() {
    let (mut model, event) = model(0);
    assert_eq!(event, None);
    assert_eq!(run(&mut model, 0, 100, 0), (100_000, vec![]));
}

#[test]
fn a_small_difference_is_made_up_for_gently() {
    let (mut model, _) = model(0);
    let (first, events) = run(&mut model, 0, 1, 900);
    assert_eq!((first, events), (1_050, vec![]), "5 % of a second");
    assert_eq!(run(&mut model, 2, 100, 900), (100_900, vec![]));
    assert_eq!(run(&mut model, 101, 200, -900).1, vec![ClockEvent::JumpedBack { by: ms(1_800) }, ClockEvent::Agrees]);
}

#[test]
fn a_jump_back_is_told_once_and_approached_slowly() {
    let (mut model, _) = model(0);
    run(&mut model, 0, 10, 0);
    let (stamp, events) = run(&mut model, 11, 20, -HOUR);
    assert_eq!(events, vec![ClockEvent::JumpedBack { by: ms(HOUR) }]);
    assert_eq!(stamp, 19_000, "ten seconds take nine");
    let (stamp, events) = run(&mut model, 21, 40_000, -HOUR);
    assert_eq!(events, vec![ClockEvent::Agrees]);
    assert_eq!(stamp, 40_000_000 - HOUR);
}

#[test]
fn a_jump_forward_is_believed_after_a_minute() {
    let (mut model, _) = model(0);
    run(&mut model, 0, 10, 0);
    let (stamp, events) = run(&mut model, 11, 70, HOUR);
    assert_eq!((stamp, events), (70_000, vec![ClockEvent::JumpedForward { by: ms(HOUR) }]));
    let (stamp, events) = run(&mut model, 71, 80, HOUR);
    assert_eq!((stamp, events), (80_000 + HOUR, vec![ClockEvent::ForwardBelieved { by: ms(HOUR) }]));
}

#[test]
fn a_jump_forward_that_does_not_last_leaves_no_trace() {
    let (mut model, _) = model(0);
    run(&mut model, 0, 10, 0);
    run(&mut model, 11, 60, 20 * 365 * 24 * HOUR);
    let (stamp, events) = run(&mut model, 61, 200, 0);
    assert_eq!((stamp, events), (200_000, vec![ClockEvent::Agrees]));
}

#[test]
fn a_clock_that_jumps_on_and_on_is_never_believed() {
    let (mut model, _) = model(0);
    for minute in 0..60 {
        run(&mut model, minute * 50, minute * 50 + 49, (minute as i64 + 1) * HOUR);
    }
    assert_eq!(run(&mut model, 3_000, 3_001, 0).0, 3_001_000);
}

#[test]
fn a_restart_behind_the_log_goes_on_from_the_log_and_says_so() {
    let last = NOON + HOUR;
    let (mut model, event) = model(last);
    assert_eq!(event, Some(ClockEvent::StartedBehind { by: ms(HOUR) }));
    let (stamp, event) = model.stamp(Timestamp::from_ms(NOON), Duration::ZERO);
    assert_eq!((stamp.as_ms(), event), (last + 1, None));
    assert_eq!(
        event_text(ClockEvent::StartedBehind { by: ms(HOUR) }),
        "the clock is 1 h behind the last entry of the log; time stamps go on from that entry and run 10 % slow \
         until the clock has caught up"
    );
}

fn event_text(event: ClockEvent) -> String {
    assert!(event.is_trouble());
    event.to_string()
}

proptest! {
    #[test]
    fn stamps_never_go_back(
        last in prop_oneof![Just(0), NOON - HOUR..NOON + HOUR],
        steps in prop::collection::vec((0_u64..100_000, -100_000_000_000_i64..100_000_000_000), 1..200),
    ) {
        let (mut model, _) = model(last);
        let mut boot = 0;
        let mut before = last;
        for (passed, off) in steps {
            boot += passed;
            let wall = Timestamp::from_ms(NOON + boot as i64 + off);
            let (stamp, _) = model.stamp(wall, Duration::from_millis(boot));
            prop_assert!(stamp.as_ms() >= before);
            before = stamp.as_ms();
        }
    }

    #[test]
    fn stamps_come_back_to_a_clock_that_is_right_again(
        offs in prop::collection::vec((1_u64..50, -HOUR..HOUR), 1..20),
    ) {
        let (mut model, _) = model(0);
        let mut second = 0;
        for (seconds, off) in offs {
            run(&mut model, second, second + seconds, off);
            second += seconds + 1;
        }
        let end = second + 11 * 3_600 + 100;
        let (stamp, _) = run(&mut model, second, end, 0);
        prop_assert!((stamp - end as i64 * 1000).abs() <= 1, "{} at {}", stamp, end);
    }

    #[test]
    fn no_reading_breaks_the_model(readings in prop::collection::vec((any::<i64>(), any::<u64>()), 1..50)) {
        let (mut model, _) = model(0);
        for (wall, boot) in readings {
            model.stamp(Timestamp::from_ms(wall), Duration::from_millis(boot));
        }
    }
}
