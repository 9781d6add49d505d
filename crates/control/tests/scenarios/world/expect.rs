//! Compares what a scenario expects with what there is.

use super::read::{check_id, clock, location};
use super::{Played, World};
use control::delivery::{self, DeliveryState};
use model::id::{IncidentId, LocationId, ServiceId};
use model::time::parse_duration;

impl World {
    pub(super) fn expect(&self, words: &[&str]) -> Played {
        let found = match words {
            ["no", "incident"] => {
                let open: Vec<String> =
                    self.state.incidents().filter(|i| i.is_open()).map(|i| i.title.clone()).collect();
                return if open.is_empty() { Ok(()) } else { Err(format!("open: {open:?}")) };
            }
            ["incident", id, "open", "since", started] => {
                let incident = self.incident(id)?;
                (format!("{} {}", incident.is_open(), clock(incident.started)), format!("true {started}"))
            }
            ["incident", id, "resolved", "after", lasted] => {
                let incident = self.incident(id)?;
                let over = incident.resolved.ok_or("it is open")?;
                let wanted = parse_duration(lasted).map_err(|e| e.to_string())?;
                (format!("{:?}", over.since(incident.started)), format!("{wanted:?}"))
            }
            [receiver, "was", "told", steps @ ..] => {
                let mut told: Vec<_> = self.state.deliveries().filter(|d| d.receiver.as_str() == *receiver).collect();
                told.sort_by_key(|d| (d.message.at, d.message.step));
                let of = |d: &&std::sync::Arc<delivery::Delivery>| matches!(d.state, DeliveryState::Delivered { .. });
                let names: Vec<&str> = told.iter().filter(|d| of(d)).map(|d| d.message.step.name()).collect();
                (names.join(" "), steps.join(" "))
            }
            ["nothing", "mentions", text] => {
                let found = self.transcript.lines().find(|line| line.contains(text));
                return found.map_or(Ok(()), |line| Err(format!("`{line}` does")));
            }
            [receiver, "last", "heard", title] => {
                let told = self.state.deliveries().filter(|d| d.receiver.as_str() == *receiver);
                let last = told.max_by_key(|d| d.number).ok_or("nothing was ever told")?;
                (last.message.title.clone(), (*title).to_owned())
            }
            ["incident", id, "ends", text] => {
                let line = self.incident(id)?.timeline.last().ok_or("no line")?;
                (line.text.clone(), (*text).to_owned())
            }
            [receiver, "last", "read", text] => {
                let told = self.state.deliveries().filter(|d| d.receiver.as_str() == *receiver);
                let last = told.max_by_key(|d| d.number).ok_or("nothing was ever told")?;
                let is_in = last.message.text.contains(text);
                return if is_in { Ok(()) } else { Err(format!("found `{}`", last.message.text)) };
            }
            ["all", "were", "called", "to", check, times] => {
                let slot = self.state.slot(&check_id(check)?).ok_or("no such check")?;
                (self.calls.get(&slot).copied().unwrap_or_default().to_string(), (*times).to_owned())
            }
            [check, "is", "made", "by", makers @ ..] => (self.makers(check)?, makers.join(" ")),
            ["aside", places @ ..] => {
                let aside = self.state.locations_set_aside().keys().map(LocationId::as_str);
                (aside.collect::<Vec<_>>().join(" "), places.join(" "))
            }
            ["rounds", "of", place, "late", count] => {
                let late = self.state.late_counts().get(&location(place)).copied().unwrap_or_default();
                (late.to_string(), (*count).to_owned())
            }
            ["node", name, "is", how] => {
                let known = self.state.member_named(name);
                let found = known.map_or("removed", |known| if known.is_present { "heard" } else { "lost" });
                (found.to_owned(), (*how).to_owned())
            }
            [service, "is", status] => (self.service_state(service)?.status().name().to_owned(), (*status).to_owned()),
            [service, "is", status, "since", since] => {
                let known = self.service_state(service)?;
                (format!("{} {}", known.status().name(), clock(known.ledger.since())), format!("{status} {since}"))
            }
            other => return Err(format!("this cannot be expected: {other:?}")),
        };
        if found.0 == found.1 { Ok(()) } else { Err(format!("found `{}`", found.0)) }
    }

    fn incident(&self, id: &str) -> Result<&control::incident::Incident, String> {
        let id = IncidentId(id.parse().map_err(|_| "a number")?);
        self.state.incident(id).map(|incident| &**incident).ok_or_else(|| "there is no such incident".to_owned())
    }

    fn service_state(&self, id: &str) -> Result<&control::standing::ServiceState, String> {
        let id = ServiceId::new(id).map_err(|e| e.to_string())?;
        self.state.service(&id).ok_or_else(|| "there is no such service".to_owned())
    }
}
