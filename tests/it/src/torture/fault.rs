//! Which faults there are, and which one comes next. Pure: the same numbers
//! drawn and the same sight of the cluster give the same fault.

use crate::random::Random;
use crate::world::PlaceNumber;
use std::fmt;
use std::time::Duration;

/// How the wire is cut.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Shape {
    /// Some on this side, all others on the other one.
    Sides(Vec<PlaceNumber>),
    /// Nobody reaches anybody.
    Nobody,
    /// Two do not reach each other; the others reach both.
    Pair(PlaceNumber, PlaceNumber),
    /// One is not heard by the others, and hears them.
    Mute(PlaceNumber),
    /// One does not hear the others, and is heard by them.
    Deaf(PlaceNumber),
    /// Each hears only the one before it: every direction of one way round is cut.
    OneWayRound,
}

/// How the data of a stopped node are harmed. It must never vote under its old
/// id again, or be whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Harm {
    /// All files are gone.
    Wiped,
    /// Bits are turned.
    Flipped,
    /// The files are those of a while ago.
    RolledBack,
}

/// Something that goes wrong, or that an operator does at an awkward time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fault {
    /// These are killed, and started again after a while.
    Kill(Vec<String>),
    /// It is asked to stop, and started again.
    Restart(String),
    /// These get no processor for a while.
    Pause(Vec<String>),
    /// The wire is cut for a while.
    Cut(Shape),
    /// The wire of one place is slow, and packets overtake each other.
    Slow(PlaceNumber, Duration),
    /// The wire of one place loses this many of a thousand packets.
    Lossy(PlaceNumber, u64),
    /// Its disk is full for a while.
    Full(String),
    /// Its wall clock jumps by seconds, and back after a while.
    Clock(String, i64),
    /// Whoever leads is killed, paused or cut off, several times in a row.
    Hunt(Hunt),
    /// Its data are harmed; it is replaced.
    Harm(String, Harm),
    /// Another node is asked to lead.
    Transfer,
    /// A node joins and another one leaves.
    Churn,
    /// Another authority signs certificates.
    Authority,
}

/// What is done to whoever leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hunt {
    /// Killed.
    Kills,
    /// Paused.
    Pauses,
    /// Cut off.
    CutsOff,
}

impl Fault {
    /// The kind, for counting.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Kill(names) if names.len() == 1 => "kill of one",
            Self::Kill(_) => "kill of several",
            Self::Restart(_) => "restart",
            Self::Pause(_) => "pause",
            Self::Cut(Shape::Sides(_)) => "cut in two",
            Self::Cut(Shape::Nobody) => "cut of all",
            Self::Cut(Shape::Pair(..)) => "cut of a pair",
            Self::Cut(Shape::Mute(_) | Shape::Deaf(_) | Shape::OneWayRound) => "cut one way",
            Self::Slow(..) => "slow wire",
            Self::Lossy(..) => "lossy wire",
            Self::Full(_) => "full disk",
            Self::Clock(..) => "clock jump",
            Self::Hunt(_) => "leader hunt",
            Self::Harm(_, Harm::Wiped) => "wiped disk",
            Self::Harm(_, Harm::Flipped) => "flipped bits",
            Self::Harm(_, Harm::RolledBack) => "rolled back disk",
            Self::Transfer => "leadership handed over",
            Self::Churn => "node in, node out",
            Self::Authority => "new authority",
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {self:?}", self.kind())
    }
}

/// What a fault is chosen by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Sight {
    /// Nodes that run and are whole, with their places.
    pub(super) running: Vec<(String, PlaceNumber)>,
    /// Whether one more node may lose its data: a majority must keep theirs.
    pub(super) may_harm: bool,
    /// Whether the members may be changed: no change is under way.
    pub(super) may_change: bool,
    /// Whether the wire is whole.
    pub(super) may_cut: bool,
    /// Whether clocks can be moved.
    pub(super) has_clocks: bool,
}

/// Chooses; `None` if what was drawn cannot be at the moment.
pub(super) fn choose(random: &mut Random, sight: &Sight) -> Option<Fault> {
    let drawn = random.below(100);
    let names: Vec<&str> = sight.running.iter().map(|(name, _)| name.as_str()).collect();
    if names.is_empty() {
        return None;
    }
    let (name, place) = sight.running[random.below(names.len() as u64) as usize].clone();
    match drawn {
        0..=13 => Some(Fault::Kill(vec![name])),
        14..=20 => Some(Fault::Kill(some_of(random, &names))),
        21..=23 => Some(Fault::Restart(name)),
        24..=31 => Some(Fault::Pause(vec![name])),
        32..=34 => Some(Fault::Pause(some_of(random, &names))),
        35..=52 => sight.may_cut.then(|| Fault::Cut(shape(random, &sight.running, place))),
        53..=56 => Some(Fault::Slow(place, Duration::from_millis(random.between(20, 300)))),
        57..=59 => Some(Fault::Lossy(place, random.between(20, 300))),
        60..=65 => Some(Fault::Full(name)),
        66..=71 => sight.has_clocks.then(|| Fault::Clock(name, shift(random))),
        72..=79 => Some(Fault::Hunt(random.one_of(&[Hunt::Kills, Hunt::Pauses, Hunt::CutsOff]))),
        80..=90 => (sight.may_harm && sight.may_change)
            .then(|| Fault::Harm(name, random.one_of(&[Harm::Wiped, Harm::Flipped, Harm::RolledBack]))),
        91..=94 => Some(Fault::Transfer),
        95..=98 => (sight.may_harm && sight.may_change).then_some(Fault::Churn),
        _ => Some(Fault::Authority),
    }
}

/// Two or more, if there are, and all of them now and then.
fn some_of(random: &mut Random, names: &[&str]) -> Vec<String> {
    let mut names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    random.shuffle(&mut names);
    let count = random.between(2, names.len() as u64 + 1) as usize;
    names.truncate(count);
    names
}

fn shape(random: &mut Random, running: &[(String, PlaceNumber)], place: PlaceNumber) -> Shape {
    let mut places: Vec<PlaceNumber> = running.iter().map(|(_, place)| *place).collect();
    random.shuffle(&mut places);
    match random.below(10) {
        0..=2 => Shape::Sides(vec![place]),
        3 | 4 => Shape::Sides(places[..places.len() / 2].to_vec()),
        5 if places.len() > 1 => Shape::Pair(places[0], places[1]),
        6 => Shape::Nobody,
        7 => Shape::Mute(place),
        8 => Shape::Deaf(place),
        _ => Shape::OneWayRound,
    }
}

/// From a step that nobody notices to one that crosses days.
fn shift(random: &mut Random) -> i64 {
    let seconds = random.one_of(&[1_i64, 5, 40, 600, 4_000, 100_000]);
    if random.chance(50) { seconds } else { -seconds }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn a_seed_chooses_the_same_faults_again() {
        let draw = |seed| {
            let mut random = Random::new(seed);
            (0..200).map(|_| choose(&mut random, &sight())).collect::<Vec<_>>()
        };
        assert_eq!(draw(5), draw(5));
        assert_ne!(draw(5), draw(6));
    }

    #[test]
    fn every_kind_of_fault_comes_sooner_or_later() {
        let mut random = Random::new(1);
        let kinds: BTreeSet<&str> =
            (0..3_000).filter_map(|_| choose(&mut random, &sight())).map(|fault| fault.kind()).collect();
        assert_eq!(kinds.len(), 19, "{kinds:?}");
    }

    #[test]
    fn nothing_is_harmed_while_a_majority_could_lose_its_data() {
        let mut random = Random::new(1);
        let careful = Sight { may_harm: false, ..sight() };
        for _ in 0..3_000 {
            let chosen = choose(&mut random, &careful);
            assert!(!matches!(chosen, Some(Fault::Harm(..) | Fault::Churn)), "{chosen:?}");
        }
    }

    #[test]
    fn nobody_is_harmed_where_nobody_runs() {
        let nobody = Sight { running: Vec::new(), ..sight() };
        assert_eq!(choose(&mut Random::new(1), &nobody), None);
    }

    fn sight() -> Sight {
        let running = (1..=3).map(|place| (format!("n{place}"), place)).collect();
        Sight { running, may_harm: true, may_change: true, may_cut: true, has_clocks: true }
    }
}
