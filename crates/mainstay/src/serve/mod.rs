//! A running node: opens the rooms, joins them, and closes them in order.
//!
//! ```text
//!  checks (threads) ─▶ collect ─▶ log ─▶ machine ─▶ follow ─┬▶ keep (history)
//!      ▲                          ▲                          ├▶ publish (page)
//!      └── reload ────────────────┤                          └▶ deliver ─▶ receivers
//!                                 └───────────────────────────────┘
//! ```
//!
//! Each loop is one file and about one screen. **No loop decides anything**: what
//! to check, whom to tell and when to try again is in the state.

mod backfill;
mod checks;
mod collect;
mod cut_off;
mod deliver;
mod egress;
pub(crate) mod facts;
mod follow;
mod keep;
mod lag;
mod nodes;
mod notice;
mod publish;
mod reload;
mod service_manager;
mod spool;
mod voice;
mod wishes;

use crate::backup::{self, Desk, Tide};
use crate::command::{ServeArguments, initialise};
use crate::files::{self, LoadError};
use crate::paint::{BOLD, DIM};
use anyhow::{Context, anyhow};
use cluster::{About, Node, Recovery};
use config::{Loaded, NodeSettings};
use model::id::LocationId;
use model::member::Role;
use model::time::Timestamp;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, UnixListener};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use web::{Options as WebOptions, Web};

/// How long the loops have to finish what they are doing.
const GRACE: Duration = Duration::from_secs(10);

/// What every loop of a node shares.
pub(crate) struct House {
    /// The log and the state.
    pub(crate) node: Node,
    /// The results; a witness keeps none.
    pub(crate) history: Option<Arc<history::Store>>,
    /// Where this node stands.
    pub(crate) location: LocationId,
    /// Whether programs may be run.
    pub(crate) allow_plugins: bool,
    /// The data directory.
    pub(crate) data: PathBuf,
    /// The configuration's path.
    pub(crate) configuration: PathBuf,
    /// Counts kept outside the state.
    pub(crate) lag: lag::Lag,
    /// How far the history has come behind the log.
    pub(crate) tide: Arc<Tide>,
    /// What people call this node.
    pub(crate) name: String,
    /// Since when this node has had no contact with a majority, if it has none.
    pub(crate) cut_off: watch::Sender<Option<Timestamp>>,
    /// How far the history is completed from other nodes, while it is.
    pub(crate) back_fill: watch::Sender<Option<backfill::Progress>>,
    /// Told when a check failed here.
    pub(crate) failing: Notify,
    /// The last entry that page and interfaces show.
    pub(crate) shown: watch::Sender<u64>,
    /// Turns true when the node is to stop.
    pub(crate) stopping: watch::Receiver<bool>,
}

impl House {
    /// The time that entries are stamped with.
    pub(crate) fn now(&self) -> Timestamp {
        self.node.now()
    }

    /// Whether this node votes only: it keeps no results.
    pub(crate) fn is_witness(&self) -> bool {
        self.node.state().member(self.node.id()).is_some_and(|known| known.member.role == Role::Witness)
    }

    /// Waits until the node is to stop.
    pub(crate) async fn stopped(&self) {
        let mut stopping = self.stopping.clone();
        // The sender lives as long as the node; an error means it is gone, which is a stop.
        let _ = stopping.wait_for(|is_stopping| *is_stopping).await;
    }
}

pub(crate) fn serve(arguments: ServeArguments) -> anyhow::Result<ExitCode> {
    raise_descriptor_limit();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let code = runtime.block_on(run(arguments));
    runtime.shutdown_timeout(GRACE);
    code
}

async fn run(arguments: ServeArguments) -> anyhow::Result<ExitCode> {
    let path = arguments.path.config.clone();
    if !path.exists() {
        anstream::println!("There is no configuration {} yet; looking at this machine first.", path.display());
        initialise(&path).await?;
    }
    let seen = files::fingerprint(&path);
    let mut loaded = match files::load(&path) {
        Ok(loaded) => loaded,
        Err(LoadError::Wrong(mistakes)) => {
            anstream::eprint!("{}", mistakes.render(config::Colour::Always));
            return Ok(ExitCode::from(2));
        }
        Err(LoadError::Unreadable(error)) => return Err(error),
    };
    voice::start(&arguments, &loaded.node)?;
    for warning in &loaded.warnings {
        tracing::warn!(file = warning.file, line = warning.line, "{}", warning.message);
    }
    override_settings(&mut loaded.node, &arguments)?;
    let data = files::data_directory(&path, &loaded.node.data);
    let listeners = listen(&loaded.node).await?;
    let (stop, stopping) = watch::channel(false);
    let (followed, follower) = follow::channel();
    let house = Arc::new(open(&path, &data, &loaded, stopping, follower).await?);
    start(house, (loaded, seen), followed, listeners, &data, stop).await
}

fn override_settings(settings: &mut NodeSettings, arguments: &ServeArguments) -> anyhow::Result<()> {
    if let Some(listen) = &arguments.listen {
        let port = Some(config::LISTEN_PORT_DEFAULT);
        let parsed = model::check::HostPort::parse(listen, port);
        settings.listen = vec![
            parsed.ok_or_else(|| anyhow!("--listen {listen} is not an address such as 127.0.0.1:8480 or [::]:8480"))?,
        ];
    }
    if let Some(data) = &arguments.data {
        // The command line is read in the current directory, the file in its own.
        let absolute = std::path::absolute(data).context("cannot find the current directory")?;
        settings.data = absolute.display().to_string();
    }
    Ok(())
}

/// Binds all addresses before anything else starts: a port in use is found at once.
async fn listen(settings: &NodeSettings) -> anyhow::Result<Vec<TcpListener>> {
    let mut listeners = Vec::new();
    for target in &settings.listen {
        let text = target.to_string();
        let addresses: Vec<SocketAddr> = tokio::net::lookup_host(&text)
            .await
            .with_context(|| format!("cannot resolve the listen address {text}"))?
            .collect();
        let bound = TcpListener::bind(addresses.as_slice()).await;
        let what_to_do = "another program (or another Mainstay) may use it: stop that, or set `listen:` or --listen to another address";
        listeners.push(bound.with_context(|| format!("cannot listen on {text}; {what_to_do}"))?);
    }
    Ok(listeners)
}

/// Binds the address for other nodes, if there is one.
async fn listen_for_nodes(settings: &NodeSettings) -> anyhow::Result<Option<std::net::TcpListener>> {
    let Some(listen) = settings.cluster.listen.as_ref().map(ToString::to_string) else { return Ok(None) };
    let resolved: Vec<SocketAddr> = tokio::net::lookup_host(&listen)
        .await
        .with_context(|| format!("cannot resolve the address for other nodes, {listen}"))?
        .collect();
    let bound = std::net::TcpListener::bind(resolved.as_slice());
    let what_to_do = "another program may use it: stop that, or set `listen:` under `cluster:` to another address";
    bound.map(Some).with_context(|| format!("cannot listen for other nodes on {listen}; {what_to_do}"))
}

async fn open_history(data: &Path) -> anyhow::Result<Option<Arc<history::Store>>> {
    if files::is_witness(data) {
        return Ok(None);
    }
    let path = files::history(data);
    let opened = tokio::task::spawn_blocking(move || history::Store::open(&path, history::Options::default()));
    let opened = opened.await?.with_context(|| format!("cannot open the data directory {}", data.display()))?;
    Ok(Some(Arc::new(opened)))
}

async fn open(
    path: &Path,
    data: &Path,
    loaded: &Loaded,
    stopping: watch::Receiver<bool>,
    follower: follow::Follower,
) -> anyhow::Result<House> {
    backup::refuse_unfinished(data)?;
    cluster::prepare(data)?;
    let settings = &loaded.node;
    let history = open_history(data).await?;
    let name = settings.cluster.name.clone().or_else(facts::host_name).unwrap_or_else(|| "node".to_owned());
    let options = cluster::Options {
        durable_history: history.as_ref().map(|history| history.watermark()),
        // A file that `mainstay join` wrote belongs to a cluster; an empty directory
        // beside it was lost, and founding another would hide that.
        may_found: !(loaded.is_node_only && settings.cluster.listen.is_some()),
        listen: listen_for_nodes(settings).await?,
        profile: match settings.cluster.profile {
            config::Profile::Lan => cluster::Profile::Lan,
            config::Profile::Wan => cluster::Profile::Wan,
        },
        about: About {
            name: name.clone(),
            address: settings.cluster.address.as_ref().map(ToString::to_string).unwrap_or_default(),
            location: settings.location.clone(),
            facts: facts::gather(None),
            ..About::default()
        },
        service: history.as_ref().map(|history| backfill::service(Arc::clone(history))),
        ..cluster::Options::default()
    };
    let tide = follower.tide();
    let follower = follower.with_history(history.as_ref()).at(&settings.location);
    let node = Node::open(&files::log(data), options, follower).await?;
    tell_what_is_missing(node.recovery());
    Ok(House {
        node,
        history,
        location: settings.location.clone(),
        allow_plugins: settings.allow_plugins,
        data: data.to_owned(),
        configuration: path.to_owned(),
        lag: lag::Lag::default(),
        tide,
        name,
        cut_off: watch::Sender::new(None),
        back_fill: watch::Sender::new(None),
        failing: Notify::new(),
        shown: watch::Sender::new(0),
        stopping,
    })
}

/// Says what could not be read back although the node can go on without it.
fn tell_what_is_missing(recovery: &Recovery) {
    let gap = &recovery.history_gap;
    if !gap.is_empty() {
        tracing::warn!(
            "the history lacks the results of the log's entries {} to {}, and the log no longer holds them; outages, \
             incidents and deliveries are complete. After a full disk these results were never kept; if the history \
             was removed, a backup of the data directory holds them",
            gap.start,
            gap.end - 1
        );
    }
}

async fn start(
    house: Arc<House>,
    (loaded, seen): (Loaded, files::Fingerprint),
    followed: follow::Followed,
    listeners: Vec<TcpListener>,
    data: &Path,
    stop: watch::Sender<bool>,
) -> anyhow::Result<ExitCode> {
    let (collector, results) = collect::channel();
    let spool = spool::Spool::open(&files::spool(data))?;
    let (backups, orders) = Desk::open(&house, data, loaded.node.backup.clone())?;
    let wishes = Arc::new(wishes::Wishes::new(Arc::clone(&house), collector.clone(), Arc::clone(&backups)));
    let web = Arc::new(Web::new(WebOptions::default(), wishes));
    let socket = local_socket(data)?;
    let (signals, hangup) = (Signals::new()?, listen_for(SignalKind::hangup())?);
    let mut loops = JoinSet::new();
    loops.spawn(keep::run(Arc::clone(&house), followed.batches));
    loops.spawn(collect::run(Arc::clone(&house), results, spool));
    house.node.found_if_needed().await.context("cannot found the cluster")?;
    let egress = loaded.node.cluster.egress.clone();
    reload::offer(&house, loaded).await?;
    if let Some(history) = house.history.clone() {
        let checks = checks::Checks::start(&house, collector, &followed.looks)?;
        loops.spawn(checks.run(Arc::clone(&house), followed.reconfigured));
        loops.spawn(egress::run(Arc::clone(&house), egress));
        loops.spawn(backfill::run(Arc::clone(&house), history, followed.replaced));
    }
    loops.spawn(cut_off::run(Arc::clone(&house), files::cut_off(data))?);
    web.publish(house.node.state());
    loops.spawn(publish::run(Arc::clone(&house), Arc::clone(&web), followed.urgent));
    loops.spawn(deliver::run(Arc::clone(&house), followed.deliveries)?);
    loops.spawn(notice::run(Arc::clone(&house)));
    loops.spawn(backups.run(orders));
    loops.spawn(reload::run(Arc::clone(&house), hangup, seen));
    let mut servers = JoinSet::new();
    for listener in listeners {
        announce(&listener);
        let (web, house) = (Arc::clone(&web), Arc::clone(&house));
        servers.spawn(async move { web.serve(listener, house.stopped()).await });
    }
    let at_socket = Arc::clone(&house);
    servers.spawn(async move { web.serve_local(socket, at_socket.stopped()).await });
    service_manager::ready();
    let code = until_stopped(&house, signals).await;
    service_manager::stopping();
    // A receiver that is gone is a loop that has stopped already.
    let _ = stop.send(true);
    let all = async {
        while loops.join_next().await.is_some() {}
        while servers.join_next().await.is_some() {}
    };
    if tokio::time::timeout(GRACE, all).await.is_err() {
        tracing::warn!(
            "some work did not end within {} s and is abandoned; deliveries in flight are repeated at the next start",
            GRACE.as_secs()
        );
    }
    if let Err(error) = house.node.close().await {
        tracing::warn!("{}", crate::chain(&anyhow::Error::new(error)));
    }
    // Nothing in it matters to the next start, which binds it anew.
    let _ = std::fs::remove_file(files::socket(data));
    tracing::info!("stopped");
    code
}

fn announce(listener: &TcpListener) {
    if let Ok(address) = listener.local_addr() {
        anstream::println!("{BOLD}Mainstay{BOLD:#} serves http://{address}/ {DIM}(Ctrl-C stops){DIM:#}");
    }
}

/// The socket over which the command line talks to this server. Its directory
/// belongs to us alone, so who can connect may do what we may.
fn local_socket(data: &Path) -> anyhow::Result<UnixListener> {
    let path = files::socket(data);
    // The directory is claimed, so a socket in it is left over from a process that died.
    if path.exists() {
        std::fs::remove_file(&path).with_context(|| format!("cannot remove the old socket {}", path.display()))?;
    }
    UnixListener::bind(&path).with_context(|| format!("cannot open the local socket {}", path.display()))
}

/// The signals that mean something to a node. Listened for before anything is
/// served: until then each of them ends the process.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn new() -> anyhow::Result<Self> {
        Ok(Self { interrupt: listen_for(SignalKind::interrupt())?, terminate: listen_for(SignalKind::terminate())? })
    }
}

fn listen_for(kind: SignalKind) -> anyhow::Result<Signal> {
    signal(kind).context("cannot listen for signals")
}

async fn until_stopped(house: &House, signals: Signals) -> anyhow::Result<ExitCode> {
    let Signals { mut interrupt, mut terminate } = signals;
    tokio::select! {
        _ = interrupt.recv() => tracing::info!("interrupted, stopping"),
        _ = terminate.recv() => tracing::info!("asked to stop"),
        failure = house.node.failed() => {
            tracing::error!("{}", crate::chain(&anyhow!(failure)));
            return Ok(ExitCode::from(1));
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Each check in flight needs a descriptor; the soft limit is a default from
/// times of `select`, the hard one is what the administrator allows.
fn raise_descriptor_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    // Without the higher limit fewer checks run at a time, which is said when it happens.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
}
