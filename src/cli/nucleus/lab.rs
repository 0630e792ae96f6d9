//! What `printgate nucleus` can do besides serving: run a component from its recipe, play a script of faults, switch
//! AWS's quotas off.

use crate::nucleus::{Nucleus, NucleusConfig, Profile, Recipe, RunnerConfig, Script, architecture, shadow::Things};
use anyhow::Context as _;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Arguments.
#[derive(Debug, Clone, clap::Args)]
#[group(skip)]
pub(super) struct LabArgs {
    /// Which runtime to be: lite or classic.
    #[arg(long, value_name = "RUNTIME", default_value = "lite")]
    pub(super) profile: Profile,
    /// Run the component of this recipe; its files are made below --dir.
    #[arg(long, value_name = "RECIPE", requires = "artifacts")]
    run: Option<PathBuf>,
    /// The directory in the place of the recipe's S3 bucket: s3://BUCKET/KEY is DIR/KEY.
    #[arg(long, value_name = "DIR", requires = "run")]
    artifacts: Option<PathBuf>,
    /// Run the component as this user; only as root.
    #[arg(long, value_name = "USER[:GROUP]", requires = "run")]
    user: Option<String>,
    /// Milliseconds from SIGTERM to SIGKILL, instead of the runtime's time.
    #[arg(long, value_name = "MS", requires = "run")]
    stop_ms: Option<u64>,
    /// Play this script of faults: lines as `at 10s {"link": "cut"}`.
    #[arg(long, value_name = "FILE")]
    script: Option<PathBuf>,
    /// No quotas of AWS, for benchmarks.
    #[arg(long)]
    no_quotas: bool,
    /// Only this thing may have shadows (may be given several times); without it every thing may, as on AWS.
    #[arg(long, value_name = "NAME")]
    registered_thing: Vec<String>,
}

impl LabArgs {
    pub(super) fn runs_component(&self) -> bool {
        self.run.is_some()
    }
}

/// The arguments, read and checked.
pub(super) struct Prepared {
    args: LabArgs,
    recipe: Option<Recipe>,
    script: Script,
}

impl Prepared {
    pub(super) fn new(args: LabArgs) -> anyhow::Result<Self> {
        let recipe = args.run.as_ref().map(|path| Recipe::load(path, args.profile, architecture())).transpose()?;
        let script = match &args.script {
            None => Script::default(),
            Some(path) => {
                let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
                Script::parse(&text).with_context(|| path.display().to_string())?
            }
        };
        Ok(Self { args, recipe, script })
    }

    /// The name of the component that is run.
    pub(super) fn component(&self) -> Option<&str> {
        self.recipe.as_ref().map(|recipe| recipe.name.as_str())
    }

    /// The recipe's configuration with `given` merged into it, as a deployment does.
    pub(super) fn configuration(&self, given: Value) -> Value {
        let Some(recipe) = &self.recipe else { return given };
        let mut configuration = recipe.configuration.clone();
        merge(&mut configuration, given);
        configuration
    }

    pub(super) fn configure(&self, config: &mut NucleusConfig) {
        config.profile = self.args.profile;
        if let (Some(recipe), Some(component)) = (&self.recipe, config.components.first_mut()) {
            component.version.clone_from(&recipe.version);
        }
        if self.args.no_quotas {
            config.quotas = None;
        }
        if !self.args.registered_thing.is_empty() {
            config.things = Things::Only(self.args.registered_thing.iter().cloned().collect());
        }
    }

    /// Runs the component and the script. The script ends with the process.
    pub(super) fn start(&self, nucleus: &Nucleus, root: &Path) -> anyhow::Result<()> {
        if let (Some(recipe), Some(artifacts)) = (&self.recipe, &self.args.artifacts) {
            nucleus.run(&RunnerConfig {
                recipe: recipe.clone(),
                artifacts: artifacts.clone(),
                root: root.to_owned(),
                user: self.args.user.clone(),
                stop: self.args.stop_ms.map(Duration::from_millis),
                restart: None,
            })?;
        }
        let (script, handle) = (self.script.clone(), nucleus.handle());
        tokio::spawn(async move { script.play(&handle).await });
        Ok(())
    }
}

/// Maps go into maps, everything else replaces.
fn merge(into: &mut Value, from: Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (key, value) in from {
                merge(into.entry(key).or_insert(Value::Null), value);
            }
        }
        (into, from) => *into = from,
    }
}
