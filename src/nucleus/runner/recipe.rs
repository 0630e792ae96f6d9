//! A component recipe, as far as a nucleus needs it to run the component.
//!
//! Keys have the case of the component recipe reference; nucleus lite wants exactly that, classic takes lifecycle keys
//! in any case. The first manifest whose platform fits is used. A platform key that is absent fits everything, but for
//! `runtime`: absent it is classic's only. `*` and `all` fit everything; the classic nucleus's regular expressions are
//! not understood and fit nothing.
//!
//! Of the lifecycle `install`, `run` and `setenv` are done, each step as text or as `{Script, Setenv, Timeout,
//! RequiresPrivilege}`. Other steps are an error rather than left out: of `shutdown`, `recover` and `Skipif` nucleus
//! lite knows nothing, and `startup` and `bootstrap` this stand-in does not do. Likewise only artifacts from S3 that
//! are not unpacked, no dependencies and no global lifecycle.

use super::RunnerError;
use crate::nucleus::Profile;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

/// AWS takes recipes of so many octets.
pub(super) const MAX_RECIPE: u64 = 16 * 1024;
/// The default of a step other than `run`.
const TIMEOUT: Duration = Duration::from_secs(120);

/// A recipe for one processor and runtime.
#[derive(Debug, Clone, PartialEq)]
pub struct Recipe {
    /// `ComponentName`.
    pub name: String,
    /// `ComponentVersion`.
    pub version: String,
    /// `ComponentConfiguration.DefaultConfiguration`; an object.
    pub configuration: Value,
    pub(super) install: Option<Step>,
    pub(super) run: Step,
    pub(super) artifacts: Vec<Artifact>,
}

/// One step of the lifecycle.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Step {
    pub(super) script: String,
    pub(super) environment: BTreeMap<String, String>,
    pub(super) timeout: Option<Duration>,
    pub(super) privileged: bool,
}

/// One file that comes with the component.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Artifact {
    /// `KEY` of `s3://BUCKET/KEY`: the path below the directory that stands for the bucket.
    pub(super) key: PathBuf,
    pub(super) file: String,
    /// Permission bits.
    pub(super) mode: u32,
}

impl Recipe {
    /// Reads a recipe file, for `architecture` in Greengrass's words ([`architecture`] is this machine's).
    pub fn load(path: &Path, profile: Profile, architecture: &str) -> Result<Self, RunnerError> {
        let failed = |error| RunnerError::Read { path: path.to_owned(), error };
        if std::fs::metadata(path).map_err(failed)?.len() > MAX_RECIPE {
            return Err(RunnerError::Recipe(format!("{} is larger than {MAX_RECIPE} bytes", path.display())));
        }
        Self::parse(&std::fs::read_to_string(path).map_err(failed)?, profile, architecture)
    }

    /// Reads a recipe's text.
    pub fn parse(text: &str, profile: Profile, architecture: &str) -> Result<Self, RunnerError> {
        let wrong = |text: String| RunnerError::Recipe(text);
        let recipe: Value = serde_saphyr::from_str(text).map_err(|error| wrong(format!("not YAML: {error}")))?;
        let text_of = |key: &str| {
            let text = recipe.get(key).and_then(Value::as_str).filter(|text| !text.is_empty());
            text.map(str::to_owned).ok_or_else(|| wrong(format!("`{key}` is no text")))
        };
        if text_of("RecipeFormatVersion")? != "2020-01-25" {
            return Err(wrong("RecipeFormatVersion is \"2020-01-25\"".into()));
        }
        for key in ["Lifecycle", "ComponentDependencies"] {
            if recipe.get(key).is_some() {
                return Err(wrong(format!("this runner does not do `{key}` at the top of a recipe")));
            }
        }
        let (name, version) = (text_of("ComponentName")?, text_of("ComponentVersion")?);
        let safe = |text: &str| text.chars().all(|c| c.is_ascii_alphanumeric() || "._-+".contains(c)) && text != "..";
        if !safe(&name) || !safe(&version) {
            return Err(wrong("ComponentName and ComponentVersion have letters, digits and . _ - + only".into()));
        }
        let default = recipe.pointer("/ComponentConfiguration/DefaultConfiguration");
        let configuration = default.cloned().unwrap_or_else(|| Value::Object(Map::new()));
        if !configuration.is_object() {
            return Err(wrong("DefaultConfiguration is no map".into()));
        }
        let manifests = recipe.get("Manifests").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        let manifest = manifests.iter().find(|manifest| fits(manifest.get("Platform"), profile, architecture));
        let manifest =
            manifest.ok_or_else(|| wrong(format!("no manifest fits linux, {architecture}, {}", runtime(profile))))?;
        let mut steps = steps(manifest.get("Lifecycle"), profile).map_err(wrong)?;
        let artifacts = manifest.get("Artifacts").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        let artifacts = artifacts.iter().map(artifact).collect::<Result<_, _>>().map_err(wrong)?;
        let run = steps.remove("run").ok_or_else(|| wrong("the lifecycle has no `run`".into()))?;
        Ok(Self { name, version, configuration, install: steps.remove("install"), run, artifacts })
    }
}

/// This machine's processor in Greengrass's words.
pub fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        other => other,
    }
}

fn runtime(profile: Profile) -> &'static str {
    match profile {
        Profile::Lite => "aws_nucleus_lite",
        Profile::Classic => "aws_nucleus_classic",
    }
}

fn fits(platform: Option<&Value>, profile: Profile, architecture: &str) -> bool {
    let Some(platform) = platform.and_then(Value::as_object) else { return profile == Profile::Classic };
    let one = |key: &str, wanted: &str| match platform.get(key) {
        None => true,
        Some(value) => value.as_str().is_some_and(|value| [wanted, "*", "all"].contains(&value)),
    };
    let runtime_given = platform.contains_key("runtime") || profile == Profile::Classic;
    let known = ["os", "architecture", "runtime"];
    // `architecture.detail` and attributes of one's own: `*` or nothing.
    let others = platform.iter().filter(|(key, _)| !known.contains(&key.as_str())).all(|(_, value)| value == "*");
    one("os", "linux")
        && one("architecture", architecture)
        && one("runtime", runtime(profile))
        && runtime_given
        && others
}

fn steps(lifecycle: Option<&Value>, profile: Profile) -> Result<BTreeMap<String, Step>, String> {
    let Some(lifecycle) = lifecycle.and_then(Value::as_object) else { return Err("the lifecycle is no map".into()) };
    let mut steps = BTreeMap::new();
    let mut common = BTreeMap::new();
    for (key, value) in lifecycle {
        let name = if profile == Profile::Classic { key.to_ascii_lowercase() } else { key.clone() };
        match name.as_str() {
            "install" | "run" => drop(steps.insert(name.clone(), step(&name, value)?)),
            "setenv" => common = environment(value)?,
            "shutdown" | "recover" | "bootstrap" | "startup" | "uninstall" => {
                return Err(format!("this runner does not do the step `{key}`"));
            }
            _ => return Err(format!("{} knows no step `{key}`", runtime(profile))),
        }
    }
    for step in steps.values_mut() {
        for (key, value) in &common {
            step.environment.entry(key.clone()).or_insert_with(|| value.clone());
        }
    }
    Ok(steps)
}

fn step(name: &str, value: &Value) -> Result<Step, String> {
    let timeout = (name != "run").then_some(TIMEOUT);
    let map = match value {
        Value::String(script) => return Ok(Step { script: script.clone(), timeout, ..Step::default() }),
        Value::Object(map) => map,
        _ => return Err(format!("`{name}` is neither text nor a map")),
    };
    let mut step = Step { timeout, ..Step::default() };
    for (key, value) in map {
        match key.as_str() {
            "Script" => step.script = value.as_str().ok_or("`Script` is no text")?.to_owned(),
            "Setenv" => step.environment = environment(value)?,
            "RequiresPrivilege" => {
                step.privileged =
                    scalar(value).and_then(|text| text.parse().ok()).ok_or("`RequiresPrivilege`: true or false")?;
            }
            // Of `run` it means other things on the two runtimes.
            "Timeout" if name != "run" => {
                let seconds =
                    scalar(value).and_then(|text| text.parse::<u32>().ok()).ok_or("`Timeout` is no number")?;
                step.timeout = Some(Duration::from_secs(u64::from(seconds)));
            }
            _ => return Err(format!("this runner does not do `{key}` of `{name}`")),
        }
    }
    if step.script.is_empty() { Err(format!("`{name}` has no script")) } else { Ok(step) }
}

fn environment(value: &Value) -> Result<BTreeMap<String, String>, String> {
    let map = value.as_object().ok_or("`Setenv` is no map")?;
    let pair = |(key, value): (&String, &Value)| Some((key.clone(), scalar(value)?));
    map.iter().map(|entry| pair(entry).ok_or_else(|| format!("`Setenv`: `{}` is no text", entry.0))).collect()
}

/// Text, number or truth as text.
pub(super) fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(_) | Value::Bool(_) => Some(value.to_string()),
        _ => None,
    }
}

fn artifact(value: &Value) -> Result<Artifact, String> {
    let uri = value.get("URI").and_then(Value::as_str).ok_or("an artifact has no `URI`")?;
    let key = uri.strip_prefix("s3://").and_then(|rest| rest.split_once('/')).map(|(_, key)| PathBuf::from(key));
    let key = key.ok_or_else(|| format!("the artifact {uri} is not s3://BUCKET/KEY"))?;
    let plain = key.components().all(|part| matches!(part, Component::Normal(_)));
    let file = key.file_name().and_then(|name| name.to_str()).map(str::to_owned);
    let Some(file) = file.filter(|_| plain) else { return Err(format!("the artifact {uri} names no file")) };
    if value.get("Unarchive").is_some_and(|how| how != "NONE") {
        return Err(format!("the artifact {uri}: this runner does not unpack"));
    }
    let permission = |name: &str, default: &'static str| {
        let given = value.pointer(&format!("/Permission/{name}"));
        given.map_or(Some(default), Value::as_str).map(str::to_owned)
    };
    let mut mode = 0;
    for (name, default, bit) in [("Read", "OWNER", 4), ("Execute", "NONE", 1)] {
        match permission(name, default).as_deref() {
            Some("NONE") => {}
            Some("OWNER") => mode |= bit << 6,
            Some("ALL") => mode |= bit << 6 | bit << 3 | bit,
            _ => return Err(format!("the artifact {uri}: `{name}` is NONE, OWNER or ALL")),
        }
    }
    // What may be executed may be read, and the nucleus reads everything.
    Ok(Artifact { key, file, mode: mode | 0o400 | (mode & 0o111) << 2 })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const RECIPE: &str = r#"
RecipeFormatVersion: "2020-01-25"
ComponentName: com.example.C
ComponentVersion: "1.0.0"
ComponentConfiguration:
  DefaultConfiguration: {poll: "60", n: 5, on: true}
Manifests:
  - Platform: {os: windows}
    Lifecycle: {run: no}
  - Platform: {os: linux, architecture: aarch64, runtime: "*"}
    Lifecycle: {run: "arm"}
  - Platform: {os: linux, architecture: amd64}
    Lifecycle:
      Setenv: {A: common, B: 1}
      Run: {Script: "classic", Setenv: {A: own}}
  - Platform: {os: linux, runtime: aws_nucleus_lite}
    Lifecycle:
      setenv: {A: common}
      install: {Script: prepare, Timeout: 5}
      run: "lite"
    Artifacts:
      - {URI: "s3://BUCKET/a/b/file", Permission: {Read: ALL, Execute: OWNER}}
      - {URI: "s3://BUCKET/plain"}
"#;

    #[test]
    fn the_first_manifest_that_fits_is_used() {
        let script = |profile, architecture| Recipe::parse(RECIPE, profile, architecture).unwrap().run.script;
        assert_eq!(script(Profile::Lite, "aarch64"), "arm");
        assert_eq!(script(Profile::Classic, "aarch64"), "arm");
        assert_eq!(script(Profile::Classic, "amd64"), "classic");
        assert_eq!(script(Profile::Lite, "amd64"), "lite", "without runtime a manifest is classic's");
        assert!(Recipe::parse(RECIPE, Profile::Classic, "arm").is_err());
    }

    #[test]
    fn steps_artifacts_and_configuration_are_read() {
        let recipe = Recipe::parse(RECIPE, Profile::Lite, "amd64").unwrap();
        assert_eq!((recipe.name.as_str(), recipe.version.as_str()), ("com.example.C", "1.0.0"));
        assert_eq!(recipe.configuration["poll"], "60");
        let install = recipe.install.unwrap();
        assert_eq!((install.script.as_str(), install.timeout), ("prepare", Some(Duration::from_secs(5))));
        assert_eq!((install.environment["A"].as_str(), recipe.run.timeout), ("common", None));
        let files: Vec<_> =
            recipe.artifacts.iter().map(|a| (a.key.to_str().unwrap(), a.file.as_str(), a.mode)).collect();
        assert_eq!(files, [("a/b/file", "file", 0o544), ("plain", "plain", 0o400)]);
        let classic = Recipe::parse(RECIPE, Profile::Classic, "amd64").unwrap();
        assert_eq!((classic.run.environment["A"].as_str(), classic.run.environment["B"].as_str()), ("own", "1"));
    }

    #[test]
    fn what_the_runtime_would_not_do_is_an_error() {
        for (from, to) in [
            ("run: \"lite\"", "Run: \"lite\""),
            ("run: \"lite\"", "run: \"lite\"\n      shutdown: x"),
            ("run: \"lite\"", "run: {Script: lite, Skipif: exists x}"),
            ("run: \"lite\"", "run: {Script: \"\"}"),
            ("install: {Script: prepare", "instal: {Script: prepare"),
            ("s3://BUCKET/plain", "s3://BUCKET/../plain"),
            ("s3://BUCKET/plain", "docker:plain"),
            ("s3://BUCKET/plain\"", "s3://BUCKET/plain\", Unarchive: ZIP"),
            ("com.example.C", "../x"),
            ("Manifests:", "Lifecycle: {}\nManifests:"),
            ("2020-01-25", "2021-01-25"),
        ] {
            let text = RECIPE.replace(from, to);
            assert_ne!(text, RECIPE);
            assert!(Recipe::parse(&text, Profile::Lite, "amd64").is_err(), "{to}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(at in 0usize..RECIPE.len(), cut in 0usize..40, text in "\\PC{0,8}") {
            let mut changed = RECIPE.to_owned();
            if changed.is_char_boundary(at) && changed.is_char_boundary((at + cut).min(RECIPE.len())) {
                changed.replace_range(at..(at + cut).min(RECIPE.len()), &text);
            }
            let _ = Recipe::parse(&changed, Profile::Lite, "amd64");
        }
    }
}
