//! A thousand seeds in every test run; `cargo xtask sim` runs as many as wanted.

use sim::{After, run, run_many, tell};

#[test]
fn nothing_is_violated() {
    let found = run_many(1..1_001, After::Stop, |_| {});
    if let Some(violation) = found.first() {
        let steps = tell(violation.seed, 40).err().map(|(_, lines)| lines.join("\n"));
        panic!("{violation}\nits last steps:\n{}", steps.unwrap_or_default());
    }
    let story = found.story;
    let happened = [
        story.rounds,
        story.incidents,
        story.taken,
        story.commands,
        story.refused,
        story.deaths,
        story.disks_lost,
        story.disks_full,
        story.elections,
        story.snapshots_taken,
        story.changes_of_voters,
        story.batches_kept,
        story.chunks_given,
        story.cut_offs,
        story.late,
    ];
    assert!(happened.iter().all(|count| *count >= 20), "of something too little happened: {story}");
}

#[test]
fn a_seed_always_gives_the_same_run() {
    assert_eq!(run(7), run(7));
}
