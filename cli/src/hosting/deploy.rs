//! `partyrun deploy`: the project is built and checked here, and sent without what the host has already.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use http::Method;
use partyrun_limits::Limits;
use serde_json::{Map, Value, json};

use super::{HostingError, Target, WhichArgs, print};
use crate::args::{DeployArgs, ListenArgs};
use crate::build::{Builder, Mode};
use crate::error::{RunError, machine};
use crate::output::{Output, escape, escape_lines};
use crate::release::thin;
use crate::{client, command};

/// Runs the command.
pub(crate) fn run(args: &DeployArgs, begun: Instant) -> Result<(), HostingError> {
    if !args.tail_consumer.is_empty() {
        return Err(HostingError::Refused(
            "`--tail-consumer` is not supported: follow the log with `partyrun tail`.".to_string(),
        ));
    }
    let cwd = std::env::current_dir().map_err(machine("The working folder cannot be found"))?;
    let limits = Limits::default();
    let output = Output::new(false, &limits).map_err(machine("A thread cannot be started"))?;
    let mut request = args.project.request(&cwd, &cwd, args.script.clone(), &ListenArgs::default());
    request.overrides.name.clone_from(&args.name);
    request.without_env_files = !(args.project.with_env || args.with_vars);
    let mut config = partyrun_config::load(&request)?;
    output.warnings(&config.warnings);
    if !args.with_vars {
        // As the original does: only variables of the command line, unless the others are asked for.
        config.vars = args
            .project
            .var
            .iter()
            .map(|(name, value)| (name.clone(), Value::from(value.clone())))
            .collect::<Map<_, _>>();
    }
    let name = config.name.clone().ok_or(HostingError::NoName)?;
    let which = WhichArgs {
        name: Some(name),
        preview: args.preview.clone(),
        at: crate::args::AtArgs { to: args.at.to.clone() },
        ..WhichArgs::default()
    };
    let target = Target::of(&which)?;
    // Before the build, which takes longer: whether there is such a host, and the token is one of it.
    let known = target.client.get("/v1/whoami")?;
    if !config.defines.contains_key("PARTYKIT_HOST") {
        let suffix = known["suffix"].as_str().unwrap_or_default();
        let preview = args.preview.as_ref().map(|preview| format!("{preview}.")).unwrap_or_default();
        let host = args.domain.clone().unwrap_or_else(|| format!("{preview}{}.{suffix}", target.name));
        config.defines.insert("PARTYKIT_HOST".to_string(), json!(host).to_string());
    }
    let config = Arc::new(config);
    let _interruptible =
        command::run_first(&config, limits.build_command_time_max, None).map_err(RunError::from)?;
    client::build(&config, Mode::Release, &output).map_err(RunError::from)?;
    let mut builder =
        Builder::new(config.clone(), Mode::Release, limits.clone(), None).map_err(RunError::from)?;
    let parts = output.while_waiting("Bundling", || builder.parts()).map_err(RunError::from)?;
    output.warnings(&parts.warnings);
    output.flush();
    print("Deploying...\n");
    let answer = send(&target, &config, &parts.parts, args.domain.as_deref(), &limits)?;
    told(&answer, &config, &cwd, begun);
    Ok(())
}

fn send(
    target: &Target,
    config: &partyrun_config::Config,
    parts: &crate::build::Parts,
    domain: Option<&str>,
    limits: &Limits,
) -> Result<Value, HostingError> {
    let assets = thin::assets(config, parts).map_err(machine("The static files cannot be read"))?;
    let hashes: BTreeSet<&str> = assets.iter().map(|asset| asset.hash.as_str()).collect();
    let lacking: BTreeSet<String> = if hashes.is_empty() {
        BTreeSet::new()
    } else {
        let lacking =
            target.client.send(Method::POST, &target.path("/lacking"), json!(hashes).to_string())?;
        let lacking = lacking.as_array().into_iter().flatten();
        lacking.filter_map(|hash| hash.as_str().map(str::to_owned)).collect()
    };
    let folder = tempfile::tempdir().map_err(machine("A temporary folder cannot be made"))?;
    let path = folder.path().join("release");
    thin::write(&path, config, parts, &assets, &lacking, limits).map_err(RunError::from)?;
    let domain = domain.map(|domain| format!("?domain={}", super::segment(domain))).unwrap_or_default();
    Ok(target.client.upload(&target.path(&format!("/releases{domain}")), &path)?)
}

fn told(answer: &Value, config: &partyrun_config::Config, cwd: &std::path::Path, begun: Instant) {
    if let Some(waited) = answer["waited_ms"].as_u64() {
        print(&format!("Waited {:.1} s for another deployment of this project\n", waited as f64 / 1e3));
    }
    let main =
        config.main.as_deref().map(|main| main.strip_prefix(cwd).unwrap_or(main).display().to_string());
    let url = escape(answer["url"].as_str().unwrap_or_default());
    print(&format!("Deployed {} to {url}\n", main.unwrap_or_default()));
    for domain in answer["domains"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        print(&format!("It is also at {}\n", escape(domain)));
    }
    if let Some(warning) = answer["warning"].as_str() {
        print(&format!("{}\n", escape_lines(warning)));
    }
    print(&format!("Release {} in {} ms\n", answer["release"]["number"], begun.elapsed().as_millis()));
}
