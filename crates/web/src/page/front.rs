//! The front page: state of everything, incidents, planned work, services.

use super::incident::IncidentCard;
use super::{Frame, Moment, bar, finish, words};
use crate::freshness::Freshness;
use askama::Template;
use control::page::{GroupView, MaintenanceView, PageView, ServiceView};
use model::verdict::ServiceStatus;

/// Open incidents shown one by one; beyond it a count says the same.
const OPEN_MAX: usize = 20;
/// Lines of an open incident's timeline shown here.
const LINES_MAX: usize = 6;

#[derive(Template)]
#[template(path = "front.html", whitespace = "minimize")]
struct FrontPage<'a> {
    frame: Frame<'a>,
    class: &'static str,
    heading: String,
    tally: String,
    verified: Option<Moment>,
    open: Vec<IncidentCard<'a>>,
    open_more: usize,
    maintenance: Vec<WorkCard<'a>>,
    groups: Vec<Group<'a>>,
    recent: Vec<Day<'a>>,
    is_empty: bool,
}

struct WorkCard<'a> {
    id: &'a str,
    title: &'a str,
    when: String,
    from: Moment,
    impact: &'static str,
    services: String,
    is_active: bool,
}

struct Group<'a> {
    /// Id of its heading.
    number: usize,
    name: &'a str,
    /// Whether a heading is worth showing: not if everything is in one group without a name.
    is_named: bool,
    class: &'static str,
    status: &'static str,
    rows: Vec<Row<'a>>,
    more_up: usize,
    more_not_up: usize,
}

struct Row<'a> {
    id: &'a str,
    name: &'a str,
    description: Option<&'a str>,
    class: &'static str,
    status: &'static str,
    /// Since when, for a state that is news.
    since: Option<Moment>,
    is_at_risk: bool,
    bar: String,
    bar_label: String,
    uptime: String,
    split: String,
    verified: Option<Moment>,
}

struct Day<'a> {
    name: String,
    incidents: Vec<IncidentCard<'a>>,
}

/// Renders the page. Before the first configuration it says what to do.
pub(super) fn render(view: &PageView, is_configured: bool, freshness: Freshness) -> String {
    let is_empty = !is_configured || view.groups.is_empty();
    let is_past = freshness.is_past();
    let overall = if is_past || is_empty { ServiceStatus::Unknown } else { view.overall };
    let heading = if is_empty {
        "Nothing is watched yet".to_owned()
    } else if is_past {
        "Not verified".to_owned()
    } else {
        words::overall(view)
    };
    let mut frame = Frame::new(&view.name, format!("{heading} · {}", view.name), view.now);
    // Without services nothing can be out of date, unless they are only known elsewhere.
    if !is_empty || freshness.cut_off_since().is_some() {
        frame = frame.told(freshness);
    }
    frame.description = view.description.as_deref();
    frame.class = words::class(overall);
    finish(&FrontPage {
        class: frame.class,
        frame,
        heading,
        tally: if is_past { String::new() } else { words::tally(view) },
        verified: view.verified.map(|at| Moment::of(at, words::moment(at))),
        open: view.open.iter().take(OPEN_MAX).map(|one| IncidentCard::new(one, view.now, LINES_MAX)).collect(),
        open_more: view.open.len().saturating_sub(OPEN_MAX),
        maintenance: view.maintenance.iter().map(work_card).collect(),
        groups: groups(view),
        recent: recent(view),
        is_empty,
    })
}

fn work_card(view: &MaintenanceView) -> WorkCard<'_> {
    let work = &view.work;
    WorkCard {
        id: work.id.as_str(),
        title: &work.title,
        when: words::span(work.from, work.until),
        from: Moment::of(work.from, words::minute(work.from)),
        impact: words::impact(work.impact),
        services: view.services.join(", "),
        is_active: view.is_active,
    }
}

fn groups(view: &PageView) -> Vec<Group<'_>> {
    let is_alone = view.groups.len() == 1;
    view.groups
        .iter()
        .enumerate()
        .map(|(number, group)| {
            let is_named = group.name.is_some() || !is_alone;
            Group {
                number,
                name: group.name.as_deref().unwrap_or(if is_alone { "Services" } else { "Other services" }),
                is_named,
                class: words::class(group.status),
                status: words::status(group.status),
                rows: rows(view, group),
                more_up: group.more_up,
                more_not_up: group.more_not_up,
            }
        })
        .collect()
}

fn rows<'a>(view: &PageView, group: &'a GroupView) -> Vec<Row<'a>> {
    group.services.iter().map(|service| row(view, service)).collect()
}

fn row<'a>(view: &PageView, service: &'a ServiceView) -> Row<'a> {
    let is_news = service.status != ServiceStatus::Up;
    let since = || Moment::of(service.since, words::clock(service.since, view.now));
    Row {
        id: service.id.as_str(),
        name: &service.name,
        description: service.description.as_deref(),
        class: words::class(service.status),
        status: words::status(service.status),
        since: is_news.then(since),
        is_at_risk: service.is_at_risk,
        bar: bar::draw(&service.days),
        bar_label: bar::describe(service),
        uptime: service.total.availability_ppm().map_or("no record yet".to_owned(), words::percent),
        split: bar::split(&service.total),
        verified: service.verified.map(|at| Moment::of(at, words::clock(at, view.now))),
    }
}

/// Incidents that are over, under the day they began on, newest first.
fn recent(view: &PageView) -> Vec<Day<'_>> {
    let mut days: Vec<(i64, Day<'_>)> = Vec::new();
    let mut incidents: Vec<_> = view.recent.iter().collect();
    incidents.sort_by_key(|incident| std::cmp::Reverse(incident.started));
    for incident in incidents {
        let card = IncidentCard::new(incident, view.now, 0);
        let day = incident.started.day();
        match days.last_mut() {
            Some((last, of_day)) if *last == day => of_day.incidents.push(card),
            Some(_) | None => days.push((day, Day { name: words::day_long(day), incidents: vec![card] })),
        }
    }
    days.into_iter().map(|(_, day)| day).collect()
}
