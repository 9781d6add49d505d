//! Some seeds in every test run; `cargo xtask sim` runs as many as wanted.

#[test]
fn nothing_is_violated_in_forty_runs() {
    for seed in 1..=40 {
        let told = sim::run(seed).unwrap_or_else(|violation| {
            panic!(
                "seed {seed}: {} does not hold: {}; again: cargo xtask sim 1 {seed}",
                violation.property, violation.found
            )
        });
        assert!(told.rounds > 300, "seed {seed} watched nothing: {told:?}");
    }
}

#[test]
fn a_seed_always_gives_the_same_run() {
    assert_eq!(sim::run(7), sim::run(7));
}
