//! Incidents on the front page and on a page of their own.

use super::{Frame, Moment, finish, words};
use crate::freshness::Freshness;
use askama::Template;
use control::State;
use control::incident::{Incident, Line};
use model::time::Timestamp;

/// An incident as the templates show it.
pub(super) struct IncidentCard<'a> {
    pub(super) id: u64,
    pub(super) title: &'a str,
    pub(super) service: &'a str,
    pub(super) class: &'static str,
    pub(super) worst: &'static str,
    pub(super) phase: &'static str,
    /// "since 20 Nov, 21:12 UTC (47 min)" or "20 Nov, 21:12–21:59 UTC (47 min)".
    pub(super) when: String,
    pub(super) is_open: bool,
    pub(super) lines: Vec<LineView<'a>>,
    /// Lines left out here and shown on the incident's own page.
    pub(super) more_lines: usize,
}

/// A line of a timeline.
pub(super) struct LineView<'a> {
    pub(super) phase: &'static str,
    pub(super) text: &'a str,
    pub(super) at: Moment,
}

impl<'a> IncidentCard<'a> {
    /// With at most `lines_max` public lines, the newest first.
    pub(super) fn new(incident: &'a Incident, now: Timestamp, lines_max: usize) -> Self {
        let lasted = words::lasted(incident.resolved.unwrap_or(now).since(incident.started));
        let when = match incident.resolved {
            None => format!("since {} ({lasted})", words::minute(incident.started)),
            Some(over) => format!("{} ({lasted})", words::span(incident.started, over)),
        };
        let public = || incident.timeline.iter().rev().filter(|line| line.is_public);
        Self {
            id: incident.id.0,
            title: &incident.title,
            service: &incident.service_name,
            class: words::class(incident.worst),
            worst: words::status(incident.worst),
            phase: words::phase(incident.phase),
            when,
            is_open: incident.is_open(),
            lines: public().take(lines_max).map(line_view).collect(),
            more_lines: public().skip(lines_max).count(),
        }
    }
}

fn line_view(line: &Line) -> LineView<'_> {
    LineView { phase: words::phase(line.phase), text: &line.text, at: Moment::of(line.at, words::minute(line.at)) }
}

#[derive(Template)]
#[template(path = "incident.html", whitespace = "minimize")]
struct IncidentPage<'a> {
    frame: Frame<'a>,
    card: IncidentCard<'a>,
}

pub(super) fn render(state: &State, incident: &Incident, freshness: Freshness) -> String {
    let page = &state.configuration().page;
    let mut frame = Frame::new(&page.name, format!("{} · {}", incident.title, page.name), state.now()).told(freshness);
    frame.home = "../";
    frame.class = if incident.is_open() { words::class(incident.worst) } else { "up" };
    let card = IncidentCard::new(incident, state.now(), usize::MAX);
    finish(&IncidentPage { frame, card })
}
