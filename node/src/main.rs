//! The binary `registry-node`.

use std::process::ExitCode;

use registry_node::{
    app::{App, Listeners},
    cli::{self, Args, Command, RunArgs, join::JoinCommandError},
    config::Config,
    demo, keys,
    lifecycle::{Shutdown, StopCause, chain},
    memory,
    observe::{self, Format},
};
use tracing::{error, info, warn};

/// Requests are made by one thread and let go by another, which the allocator of glibc pays with
/// locks.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// `EX_USAGE` of sysexits.h.
const BAD_CONFIG: u8 = 64;
/// What was asked for is not allowed.
const REFUSED: u8 = 3;

fn main() -> ExitCode {
    let args: Args = match registry_client::usage::parse() {
        Ok(args) => args,
        Err(code) => return code,
    };
    if let Err(failure) = keys::forbid_dumps() {
        eprintln!("registry-node: Speicherabzüge lassen sich nicht verhindern: {failure}");
        return ExitCode::FAILURE;
    }
    if let Err(failure) = memory::small_pages() {
        // no reason to stop: it is slower, and takes more memory
        eprintln!("registry-node: große Speicherseiten lassen sich nicht abwählen: {failure}");
    }
    let outcome = match args.command {
        Command::Init(args) => cli::init::run(&args).map_err(|it| chain(&it)).and_then(told),
        Command::Pki(args) => cli::pki::run(&args).map_err(|it| chain(&it)).and_then(told),
        Command::Key(command) => cli::key::run(&command).map_err(|it| chain(&it)).and_then(told),
        Command::Charter(command) => {
            cli::charter::run(command).map_err(|it| chain(&it)).and_then(told)
        }
        Command::Certificates(args) => {
            cli::certificates::run(&args).map_err(|it| chain(&it)).and_then(told)
        }
        Command::Evidence(command) => {
            cli::evidence::run(&command).map_err(|it| chain(&it)).and_then(told)
        }
        Command::Audit(command) => match cli::audit::run(&command) {
            Ok(done) => match cli::print(&done.text) {
                Ok(()) => return ExitCode::from(done.code),
                Err(failure) => Err(unsaid(&failure)),
            },
            Err(failure) => Err(chain(&failure)),
        },
        Command::Epoch(command) => {
            cli::epoch::run(&command).map_err(|it| chain(&it)).and_then(told)
        }
        Command::Data(command) => cli::data::run(&command).map_err(|it| chain(&it)).and_then(told),
        Command::Policy(cli::policy::PolicyCommand::Check(args)) => return explain(&args),
        Command::Run(args) => return run(&args),
        Command::Join(args) => return join(&args),
        Command::Demo(args) => {
            if let Err(failure) = observe::init(Format::Human, &level("warn")) {
                eprintln!("registry-node: {failure}");
            }
            with_runtime(async move { demo::run(&args).await.map_err(|it| chain(&it)) })
        }
    };
    exit(outcome)
}

fn run(args: &RunArgs) -> ExitCode {
    let unlock = args.unlock();
    let loaded = match args.check {
        true => Config::check(&args.config, &unlock),
        false => Config::load_with(&args.config, &unlock),
    };
    let config = match loaded {
        Ok(config) => config,
        Err(refused) => {
            eprintln!("registry-node: {refused}");
            return ExitCode::from(BAD_CONFIG);
        }
    };
    if args.check {
        if let Some(remark) = cli::remarks::partners_missing(&config) {
            eprintln!("Warnung: {remark}");
        }
        for remark in cli::remarks::untimely(&config) {
            eprintln!("Warnung: {remark}");
        }
        let charters = cli::remarks::charters(&config);
        return exit(told(format!("{}: in Ordnung\n{charters}", args.config.display())));
    }
    if let Err(failure) = observe::init(config.log.format, &level(&config.log.level)) {
        eprintln!("registry-node: {failure}");
        return ExitCode::from(BAD_CONFIG);
    }
    if let Some(remark) = cli::remarks::partners_missing(&config) {
        warn!("no [[peers]] in the configuration: this node dials nobody");
        // for people, who cannot read it as one field of a line
        if config.log.format == Format::Human {
            eprintln!("registry-node: Warnung: {remark}");
        }
    }
    let served = with_runtime(serve(config));
    // the last line of every process that was not ended from outside
    match &served {
        Ok(()) => info!("the process ends as it was asked to"),
        Err(cause) => error!(cause, "the process ends"),
    }
    exit(served)
}

/// Joins, and runs the node once its Land is a member if that was asked for.
fn join(args: &cli::join::JoinArgs) -> ExitCode {
    let mut refused = None;
    let joined = with_runtime(async {
        cli::join::run(args).await.map_err(|failure| {
            refused = match &failure {
                JoinCommandError::Config(_) => Some(BAD_CONFIG),
                other if other.is_refusal() => Some(REFUSED),
                _ => None,
            };
            chain(&failure)
        })
    });
    match (joined, refused) {
        (Err(cause), Some(code)) => {
            eprintln!("registry-node: {cause}");
            ExitCode::from(code)
        }
        (Ok(()), _) if args.run => run(&RunArgs {
            config: args.config.clone(),
            check: false,
            passphrase: args.passphrase.clone(),
            pin: args.pin.clone(),
        }),
        (joined, _) => exit(joined),
    }
}

fn explain(args: &cli::policy::CheckArgs) -> ExitCode {
    match cli::policy::check(args) {
        Ok(explained) => {
            if let Err(cause) = told(explained.text) {
                return exit(Err(cause));
            }
            if explained.allowed { ExitCode::SUCCESS } else { ExitCode::from(REFUSED) }
        }
        Err(failure) => exit(Err(chain(&failure))),
    }
}

/// Serves until the node is asked to stop; under the next charter when another one is in force, and
/// with the next epoch of a log that began again.
async fn serve(mut config: Config) -> Result<(), String> {
    let mut shutdown = Shutdown::new();
    shutdown.listen_for_signals().map_err(|it| chain(&it))?;
    // from the first moment on: without a handler SIGHUP ends the process, and nothing says so
    let hangup = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::hangup());
    let _hangup = hangup.map_err(|it| chain(&it))?;
    let bound = Listeners::bind(&config.listen).await;
    let mut listeners = bound.map_err(|it| cli::remarks::not_started(&it))?;
    let mut crls = None;
    loop {
        let sockets = listeners.keep().map_err(|it| chain(&it))?;
        let started = App::start_after(crls, config.clone(), listeners, shutdown.clone()).await;
        let app = started.map_err(|it| {
            error!(cause = chain(&it), "the node does not start");
            cli::remarks::not_started(&it)
        })?;
        shutdown.requested().await;
        // a signal that comes while the node stops is for the one that would come after it
        let next = Shutdown::new();
        next.listen_for_signals().map_err(|it| chain(&it))?;
        let sockets = shutdown.cause().is_some_and(begins_again).then_some(sockets);
        crls = Some(app.crls());
        app.stop().await;
        if let Some(StopCause::TaskDied { kind, cause }) = shutdown.cause() {
            return Err(format!("{kind:?}: {cause}"));
        }
        // who asks for an end while the node begins again means the next one too
        let Some(sockets) = sockets.filter(|_| next.cause().is_none()) else { return Ok(()) };
        info!("the node begins again");
        listeners = sockets.listeners().map_err(|it| chain(&it))?;
        config = config.under_kept_charters().map_err(|refused| {
            error!(cause = chain(&refused), "the node cannot run under the charter in force");
            refused.to_string()
        })?;
        shutdown = next;
    }
}

fn begins_again(cause: &StopCause) -> bool {
    match cause {
        StopCause::Charter { .. } | StopCause::Epoch { .. } | StopCause::SetAside { .. } => true,
        StopCause::Requested(_) | StopCause::TaskDied { .. } => false,
    }
}

fn with_runtime<F>(work: F) -> Result<(), String>
where
    F: Future<Output = Result<(), String>>,
{
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|it| format!("the operating system gives no threads: {it}"))?;
    let outcome = runtime.block_on(work);
    // what ignored the drain is not waited for
    runtime.shutdown_background();
    outcome
}

/// `RUST_LOG` goes before the configuration.
fn level(configured: &str) -> String {
    std::env::var("RUST_LOG").unwrap_or_else(|_| configured.to_owned())
}

fn told(text: String) -> Result<(), String> {
    cli::print(&(text + "\n")).map_err(|it| unsaid(&it))
}

fn unsaid(failure: &std::io::Error) -> String {
    format!("Standardausgabe nicht beschreibbar: {failure}")
}

fn exit(outcome: Result<(), String>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(cause) => {
            eprintln!("registry-node: {cause}");
            ExitCode::FAILURE
        }
    }
}
