//! Some seeds in every test run; `cargo xtask sim` runs as many as wanted.

#[test]
fn nothing_is_violated() {
    for seed in 1..=15 {
        sim::run(seed).unwrap_or_else(|violation| panic!("{violation}"));
    }
}

#[test]
fn a_seed_always_gives_the_same_run() {
    assert_eq!(sim::run(7), sim::run(7));
}
