//! The authorization of IPC operations: a component's `accessControl`, as its runtime enforces it.
//!
//! ```json
//! {"aws.greengrass.ipc.mqttproxy": {"com.example.Gw:mqtt:1": {
//!    "operations": ["aws.greengrass#PublishToIoTCore"], "resources": ["printers/{iot:thingName}/#"]}}}
//! ```
//! A policy allows its operations (`*` is all of them) on what its resources match:
//!
//! | resources of | lite | classic |
//! |---|---|---|
//! | `aws.greengrass.ipc.mqttproxy` | as a glob, or as an MQTT filter | globs and MQTT wildcards together |
//! | `aws.greengrass.ipc.pubsub` | as a glob | globs and MQTT wildcards together |
//! | shadows, secrets, lifecycle, metrics | – | as a glob |
//!
//! `*` is any text, slashes included; `+` one level; `#` the rest, on classic the level above too; `${*}`, `${?}` and
//! `${$}` are the characters. What a subscription asks for is itself a filter: `+` in it is covered by `+`, `#` only by
//! `#` or `*` (the classic nucleus takes `+` for a last `#`, which is not played).
//!
//! `{iot:thingName}` stands for the core device's name: everywhere on lite, for MQTT on classic; elsewhere classic
//! replaces it when the whole configuration is interpolated, before it comes here. A resource with another variable
//! matches nothing. A bare `?` or another `${…}` fails a deployment on lite (and a request for such a topic is not
//! authorized); classic skips the resource. What does not parse allows nothing.

use super::profile::Profile;
use serde_json::Value;
use std::collections::BTreeMap;

/// Longest resource and longest request looked at, bytes; matching takes their product.
const MAX_RESOURCE: usize = 1_024;
const THING_NAME: &str = "{iot:thingName}";

/// A service that authorizes by `accessControl`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Service {
    MqttProxy,
    PubSub,
    ShadowManager,
    SecretManager,
    Lifecycle,
    ComponentMetric,
}

impl Service {
    const ALL: [Self; 6] = [
        Self::MqttProxy,
        Self::PubSub,
        Self::ShadowManager,
        Self::SecretManager,
        Self::Lifecycle,
        Self::ComponentMetric,
    ];

    /// Its key in `accessControl`.
    pub(super) fn id(self) -> &'static str {
        match self {
            Self::MqttProxy => "aws.greengrass.ipc.mqttproxy",
            Self::PubSub => "aws.greengrass.ipc.pubsub",
            Self::ShadowManager => "aws.greengrass.ShadowManager",
            Self::SecretManager => "aws.greengrass.SecretManager",
            Self::Lifecycle => "aws.greengrass.ipc.lifecycle",
            Self::ComponentMetric => "aws.greengrass.ipc.componentmetric",
        }
    }
}

/// A component's `accessControl`, read once.
#[derive(Debug, Clone, Default)]
pub(super) struct Access {
    profile: Profile,
    policies: BTreeMap<Service, Vec<Policy>>,
}

#[derive(Debug, Clone)]
struct Policy {
    operations: Vec<String>,
    patterns: Vec<Pattern>,
}

impl Access {
    /// Reads the value under the key `accessControl` of a configuration.
    pub(super) fn parse(access_control: &Value, profile: Profile, thing_name: &str) -> Self {
        let of = |service: Service| {
            let policies = access_control.get(service.id()).and_then(Value::as_object);
            let policies = policies.into_iter().flat_map(|p| p.values());
            let policies = policies.map(|policy| Policy {
                operations: texts(policy, "operations"),
                patterns: texts(policy, "resources")
                    .iter()
                    .flat_map(|resource| patterns(resource, service, profile, thing_name))
                    .collect(),
            });
            (service, policies.collect())
        };
        Self { profile, policies: Service::ALL.into_iter().map(of).collect() }
    }

    /// Whether `operation` (with its `aws.greengrass#`) is allowed on `resource`.
    pub(super) fn allows(&self, service: Service, operation: &str, resource: &str) -> bool {
        if resource.len() > MAX_RESOURCE || self.profile == Profile::Lite && !valid_resource(resource) {
            return false;
        }
        let policies = self.policies.get(&service).into_iter().flatten();
        policies.filter(|p| p.operations.iter().any(|o| o == "*" || o == operation)).any(|policy| {
            let resource = resource.as_bytes();
            policy.patterns.iter().any(|pattern| pattern.matches(resource))
        })
    }
}

/// The first resource in `accessControl` for which lite refuses a deployment.
pub(super) fn invalid_resource(access_control: &Value) -> Option<String> {
    let services = access_control.as_object().into_iter().flat_map(|services| services.values());
    let policies = services.filter_map(Value::as_object).flat_map(|policies| policies.values());
    policies.flat_map(|policy| texts(policy, "resources")).find(|resource| !valid_resource(resource))
}

/// Lite's rule: no bare `?`, and `${…}` around `*`, `?` or `$` only.
fn valid_resource(resource: &str) -> bool {
    let mut rest = resource;
    while let Some(at) = rest.find(['?', '$']) {
        let tail = rest.get(at..).unwrap_or_default();
        let escaped = ["${*}", "${?}", "${$}"].into_iter().any(|escape| tail.starts_with(escape));
        if tail.starts_with('?') || tail.starts_with("${") && !escaped {
            return false;
        }
        rest = tail.get(if escaped { 4 } else { 1 }..).unwrap_or_default();
    }
    true
}

fn texts(policy: &Value, key: &str) -> Vec<String> {
    let list = policy.get(key).and_then(Value::as_array);
    list.into_iter().flatten().filter_map(|v| v.as_str().map(str::to_owned)).collect()
}

/// What a resource matches, in each of the readings that the runtime gives it.
fn patterns(resource: &str, service: Service, profile: Profile, thing_name: &str) -> Vec<Pattern> {
    let interpolated = profile == Profile::Lite || service == Service::MqttProxy;
    let resource = if interpolated { resource.replace(THING_NAME, thing_name) } else { resource.to_owned() };
    if resource.len() > MAX_RESOURCE || !valid_resource(&resource) || interpolated && has_variable(&resource) {
        return Vec::new();
    }
    let read = |glob, filter| Pattern::new(&resource, glob, filter);
    match (profile, service) {
        (Profile::Lite, Service::MqttProxy) => vec![read(true, false), read(false, true)],
        (Profile::Classic, Service::MqttProxy | Service::PubSub) => {
            let mut pattern = read(true, true);
            pattern.or_parent = pattern.parts.ends_with(&[Part::Byte(b'/'), Part::Rest]);
            vec![pattern]
        }
        _ => vec![read(true, false)],
    }
}

/// A `{` that is not part of `${…}` begins a recipe variable.
fn has_variable(resource: &str) -> bool {
    resource.match_indices('{').any(|(at, _)| !resource.get(..at).is_some_and(|before| before.ends_with('$')))
}

#[derive(Debug, Clone)]
struct Pattern {
    parts: Vec<Part>,
    /// `a/#` matches `a`, too.
    or_parent: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Byte(u8),
    /// `*`
    Any,
    /// `+`
    Level,
    /// `#`
    Rest,
}

impl Pattern {
    fn new(text: &str, glob: bool, filter: bool) -> Self {
        let bytes = text.as_bytes();
        let mut parts = Vec::with_capacity(bytes.len());
        let mut at = 0;
        while let Some(&byte) = bytes.get(at) {
            let begins_level = at == 0 || bytes.get(at - 1) == Some(&b'/');
            let next = bytes.get(at + 1);
            if let (b'$', Some(b'{'), Some(&escaped), Some(b'}')) = (byte, next, bytes.get(at + 2), bytes.get(at + 3)) {
                parts.push(Part::Byte(escaped));
                at += 4;
                continue;
            }
            parts.push(match byte {
                b'*' if glob => Part::Any,
                b'+' if filter && begins_level && matches!(next, None | Some(b'/')) => Part::Level,
                b'#' if filter && begins_level && next.is_none() => Part::Rest,
                byte => Part::Byte(byte),
            });
            at += 1;
        }
        Self { parts, or_parent: false }
    }

    /// Follows all readings at once: `at[n]` says that the text so far fits the first `n` parts.
    fn matches(&self, text: &[u8]) -> bool {
        let mut at = vec![false; self.parts.len() + 1];
        if let Some(start) = at.first_mut() {
            *start = true;
        }
        self.skip(&mut at);
        for &byte in text {
            let mut next = vec![false; at.len()];
            for (n, part) in self.parts.iter().enumerate().filter(|(n, _)| at.get(*n) == Some(&true)) {
                let to = match part {
                    Part::Byte(expected) if *expected == byte => n + 1,
                    Part::Any | Part::Rest => n,
                    Part::Level if byte != b'/' && byte != b'#' => n,
                    _ => continue,
                };
                if let Some(to) = next.get_mut(to) {
                    *to = true;
                }
            }
            self.skip(&mut next);
            at = next;
        }
        let parent = self.or_parent && at.get(self.parts.len().wrapping_sub(2)) == Some(&true);
        parent || at.last() == Some(&true)
    }

    /// Wildcards fit nothing at all, too.
    fn skip(&self, at: &mut [bool]) {
        for (n, part) in self.parts.iter().enumerate() {
            let reached = at.get(n) == Some(&true) && !matches!(part, Part::Byte(_));
            if let Some(next) = at.get_mut(n + 1).filter(|_| reached) {
                *next = true;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Profile::{Classic, Lite};
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    const OPERATION: &str = "aws.greengrass#Publish";

    fn allowed_for(profile: Profile, service: Service, resources: &[&str], resource: &str) -> bool {
        let access = json!({service.id(): {"c:mqtt:1": {"operations": [OPERATION], "resources": resources}}});
        Access::parse(&access, profile, "gw1").allows(service, OPERATION, resource)
    }

    fn allowed(resources: &[&str], resource: &str) -> bool {
        let of = |profile| allowed_for(profile, Service::MqttProxy, resources, resource);
        assert_eq!(of(Lite), of(Classic), "{resources:?} {resource}");
        of(Lite)
    }

    #[test]
    fn resources_match_as_globs_and_as_mqtt_filters() {
        assert!(allowed(&["printers/{iot:thingName}/#"], "printers/gw1/x/status"));
        assert!(!allowed(&["printers/{iot:thingName}/#"], "printers/gw2/x/status"));
        assert!(allowed(&["a/+/c"], "a/b/c"));
        assert!(!allowed(&["a/+/c"], "a/b/d/c"));
        assert!(allowed(&["a/*"], "a/b/c"));
        assert!(allowed(&["*"], "$aws/things/x/shadow/get"));
        assert!(allowed(&["a*c*"], "abcbd") && !allowed(&["a*c"], "abcd"));
        assert!(allowed(&["a/${*}"], "a/*") && !allowed(&["a/${*}"], "a/b"));
        assert!(!allowed(&[], "a") && !allowed(&["a+/b"], "ax/b"));
    }

    #[test]
    fn a_filter_is_covered_only_by_what_is_as_wide() {
        assert!(allowed(&["a/#"], "a/#") && allowed(&["a/#"], "a/+/c") && allowed(&["a/+"], "a/+"));
        assert!(!allowed(&["a/+"], "a/#"));
        assert!(!allowed(&["a/b"], "a/+") && !allowed(&["a/b"], "#"));
    }

    #[test]
    fn the_runtimes_differ_in_mixed_wildcards_and_the_level_above() {
        let mqtt = |profile, pattern, topic| allowed_for(profile, Service::MqttProxy, &[pattern], topic);
        assert!(mqtt(Classic, "$aws/things/prn-*/shadow/#", "$aws/things/prn-1/shadow/get"));
        assert!(!mqtt(Lite, "$aws/things/prn-*/shadow/#", "$aws/things/prn-1/shadow/get"));
        assert!(mqtt(Classic, "a/#", "a") && !mqtt(Lite, "a/#", "a"));
        assert!(mqtt(Classic, "#", "a") && mqtt(Lite, "#", "a"));
        let local = |profile, pattern, topic| allowed_for(profile, Service::PubSub, &[pattern], topic);
        assert!(local(Classic, "a/+/c", "a/b/c") && !local(Lite, "a/+/c", "a/b/c"));
        assert!(local(Classic, "a/*", "a/b/c") && local(Lite, "a/*", "a/b/c"));
    }

    #[test]
    fn the_thing_name_is_put_in_where_the_runtime_does() {
        let on = |profile, service| allowed_for(profile, service, &["x/{iot:thingName}"], "x/gw1");
        assert!(on(Lite, Service::MqttProxy) && on(Lite, Service::PubSub) && on(Classic, Service::MqttProxy));
        assert!(!on(Classic, Service::PubSub) && !on(Classic, Service::ShadowManager));
        assert!(!allowed(&["x/{iot:other}"], "x/{iot:other}") && !allowed(&["{kernel:rootPath}/*"], "x"));
    }

    #[test]
    fn shadows_and_secrets_are_globs() {
        let shadow = |pattern, name| allowed_for(Classic, Service::ShadowManager, &[pattern], name);
        assert!(shadow("$aws/things/gw1/shadow/name/*", "$aws/things/gw1/shadow/name/hp-1"));
        assert!(!shadow("$aws/things/gw1/shadow/name/*", "$aws/things/gw1/shadow"));
        assert!(!shadow("$aws/things/+/shadow", "$aws/things/gw1/shadow"));
        let arn = "arn:aws:secretsmanager:eu-central-1:1:secret:printers-AbCdEf";
        let secret = |pattern| allowed_for(Classic, Service::SecretManager, &[pattern], arn);
        assert!(secret("*") && secret("arn:aws:secretsmanager:*:secret:printers-*") && !secret("printers"));
    }

    #[test]
    fn broken_resources_fail_on_lite_and_match_nothing() {
        for (resource, valid) in [
            ("a/b", true),
            ("$aws/things", true),
            ("a${*}${?}${$}", true),
            ("a?", false),
            ("a/${x}", false),
            ("a/${", false),
            ("a/${*", false),
            ("${${*}", false),
        ] {
            assert_eq!(valid_resource(resource), valid, "{resource}");
            let access = json!({"any": {"p": {"operations": ["*"], "resources": ["ok", resource]}}});
            assert_eq!(invalid_resource(&access).as_deref(), (!valid).then_some(resource));
        }
        assert!(!allowed(&["a?"], "a?") && !allowed_for(Lite, Service::MqttProxy, &["*"], "a?"));
        assert!(allowed_for(Classic, Service::MqttProxy, &["*"], "a?"));
    }

    #[test]
    fn other_operations_other_services_and_broken_policies_allow_nothing() {
        let mqtt = Service::MqttProxy.id();
        let access = json!({mqtt: {"p": {"operations": [OPERATION], "resources": ["#"]}}});
        let access = Access::parse(&access, Lite, "t");
        assert!(access.allows(Service::MqttProxy, OPERATION, "a"));
        assert!(!access.allows(Service::MqttProxy, "aws.greengrass#Subscribe", "a"));
        assert!(!access.allows(Service::PubSub, OPERATION, "a"));
        let any = json!({mqtt: {"p": {"operations": ["*"], "resources": ["#"]}}});
        assert!(Access::parse(&any, Classic, "t").allows(Service::MqttProxy, "anything", "a"));
        for broken in [json!(null), json!([]), json!({mqtt: 1}), json!({mqtt: {"p": {"resources": ["*"]}}})] {
            let access = Access::parse(&broken, Lite, "t");
            assert!(!access.allows(Service::MqttProxy, OPERATION, "a"), "{broken}");
        }
        assert!(!allowed(&["*"], &"x".repeat(MAX_RESOURCE + 1)));
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(pattern in "[ab/*+#${}?]{0,24}", text in "[ab/*+#${}?]{0,24}") {
            for profile in [Lite, Classic] {
                for service in Service::ALL {
                    allowed_for(profile, service, &[&pattern], &text);
                }
            }
        }

        #[test]
        fn a_text_matches_itself(text in "[ab/]{1,24}") {
            prop_assert!(allowed(&[&text], &text) && allowed(&["*"], &text));
        }
    }
}
