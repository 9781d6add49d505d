//! Names that are mentioned must exist, and services must not need each other in a circle.

use super::{Mentioned, Reader};
use crate::mistake::{Code, Draft, quoted};
use crate::nearest::nearest;
use crate::yaml::Place;
use model::configuration::Configuration;
use model::service::{NeedClass, Service};
use std::collections::{BTreeMap, BTreeSet};

/// Names listed as allowed; a long list helps nobody.
const LISTED_MAX: usize = 20;
/// Circles named at once; mending these mends most others.
const CIRCLES_MAX: usize = 20;

impl Reader {
    /// Judges what can be judged only once everything is read.
    pub(super) fn references(&mut self, configuration: &Configuration, top: Place) {
        self.judge_mentions();
        self.circles(&configuration.services);
        if configuration.receivers.is_empty() && !configuration.services.is_empty() && self.notes.is_clean() {
            let draft = Draft::new(Code::Doubtful, "there are no receivers, so nobody is told about an outage")
                .help("add one under `receivers`, such as `- { id: ops, mail: ops@example.org }`");
            self.notes.warn(top, "", draft);
        }
    }

    fn judge_mentions(&mut self) {
        // Those with mistakes of their own were declared as well; naming one is no second mistake.
        let services: BTreeSet<String> = std::mem::take(&mut self.services).into_keys().collect();
        let receivers = std::mem::take(&mut self.receivers);
        for mention in std::mem::take(&mut self.mentions) {
            let (known, what, key) = match mention.what {
                Mentioned::Service => (&services, "service", "services"),
                Mentioned::Receiver => (&receivers, "receiver", "receivers"),
            };
            let is_partial = match mention.what {
                Mentioned::Service => self.are_services_partial,
                Mentioned::Receiver => self.are_receivers_partial,
            };
            if is_partial || known.contains(&mention.name) {
                continue;
            }
            let mut draft = Draft::new(Code::UnknownName, format!("there is no {what} {}", quoted(&mention.name)))
                .help(format!("declare it under `{key}`, or name one that is there"));
            if !known.is_empty() {
                draft = draft.allowed(listed(known));
            }
            if let Some(near) = nearest(&mention.name, known.iter().map(String::as_str)) {
                draft = draft.label(format!("did you mean {}?", quoted(near)));
            }
            self.notes.add(mention.place, mention.path, draft);
        }
    }

    /// Finds circles of hard needs, each named once.
    fn circles(&mut self, services: &[Service]) {
        let at: BTreeMap<&str, usize> = services.iter().enumerate().map(|(i, s)| (s.id.as_str(), i)).collect();
        let needs: Vec<Vec<usize>> = services
            .iter()
            .map(|service| {
                let hard = service.needs.iter().filter(|need| need.class == NeedClass::Hard);
                hard.filter_map(|need| at.get(need.service.as_str()).copied()).collect()
            })
            .collect();
        for circle in circles(&needs) {
            let names: Vec<&str> =
                circle.iter().chain(circle.first()).map(|index| services[*index].id.as_str()).collect();
            let message = format!("services need each other in a circle: {}", names.join(" -> "));
            let draft =
                Draft::new(Code::Cycle, message).help("make one of these needs soft: { service: …, class: soft }");
            if let Some(place) = self.need_places.get(names[0]) {
                self.notes.add(*place, format!("services[{}].needs", circle[0]), draft);
            }
        }
    }
}

fn listed(known: &BTreeSet<String>) -> String {
    let names: Vec<&str> = known.iter().take(LISTED_MAX).map(String::as_str).collect();
    let more = known.len().saturating_sub(LISTED_MAX);
    if more == 0 { names.join(", ") } else { format!("{} and {more} more", names.join(", ")) }
}

/// One circle for each service at which a walk closes one, walked without
/// recursion because a chain of needs may be as long as the list of services.
fn circles(needs: &[Vec<usize>]) -> Vec<Vec<usize>> {
    #[derive(Clone, Copy, PartialEq, Eq)]
    enum State {
        New,
        OnTheWay,
        Done,
    }
    let mut states = vec![State::New; needs.len()];
    let mut found = Vec::new();
    for start in 0..needs.len() {
        if states[start] != State::New {
            continue;
        }
        let mut way: Vec<(usize, usize)> = vec![(start, 0)];
        states[start] = State::OnTheWay;
        while let Some((service, next)) = way.last_mut() {
            let Some(&needed) = needs[*service].get(*next) else {
                states[*service] = State::Done;
                way.pop();
                continue;
            };
            *next += 1;
            match states[needed] {
                State::New => {
                    states[needed] = State::OnTheWay;
                    way.push((needed, 0));
                }
                State::OnTheWay => {
                    if found.len() == CIRCLES_MAX {
                        return found;
                    }
                    let from = way.iter().position(|(on_way, _)| *on_way == needed).unwrap_or(0);
                    found.push(way[from..].iter().map(|(on_way, _)| *on_way).collect());
                }
                State::Done => {}
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::circles;

    #[test]
    fn circles_are_found_once_and_long_chains_are_walked() {
        assert_eq!(circles(&[vec![1], vec![2], vec![0], vec![0]]), vec![vec![0, 1, 2]]);
        assert_eq!(circles(&[vec![0]]), vec![vec![0]]);
        let chain: Vec<Vec<usize>> = (1..=100_000).map(|next| vec![next]).chain([vec![]]).collect();
        assert!(circles(&chain).is_empty());
    }
}
