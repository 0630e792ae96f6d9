//! The authorization of IPC operations: a component's `accessControl`, as nucleus lite enforces it.
//!
//! ```json
//! {"aws.greengrass.ipc.mqttproxy": {"com.example.Gw:mqtt:1": {
//!    "operations": ["aws.greengrass#PublishToIoTCore"], "resources": ["printers/{iot:thingName}/#"]}}}
//! ```
//! A resource matches as a glob (`*` is any text, slashes included) or as an MQTT filter (`+` one level, `#` the rest).
//! `{iot:thingName}` stands for the core device's name. What a subscription asks for is itself a filter: `+` in it is
//! covered by `+`, `#` only by `#` or `*`. What does not parse allows nothing.

use super::topic;
use serde_json::Value;

/// Service id of the MQTT operations.
pub(super) const MQTT_PROXY: &str = "aws.greengrass.ipc.mqttproxy";
/// Longest resource looked at, bytes; matching is quadratic in the worst case.
const MAX_RESOURCE: usize = 1_024;

/// Whether `access_control` (the value under that key of the configuration) allows `operation` on `resource`.
pub(super) fn allows(access_control: &Value, service: &str, operation: &str, resource: &str, thing_name: &str) -> bool {
    let policies = access_control.get(service).and_then(Value::as_object);
    let texts = |policy: &Value, key: &str| -> Vec<String> {
        let list = policy.get(key).and_then(Value::as_array);
        list.into_iter().flatten().filter_map(|v| v.as_str().map(str::to_owned)).collect()
    };
    policies.into_iter().flat_map(|p| p.values()).any(|policy| {
        texts(policy, "operations").iter().any(|o| o == "*" || o == operation)
            && texts(policy, "resources")
                .iter()
                .filter(|pattern| pattern.len() <= MAX_RESOURCE)
                .map(|pattern| pattern.replace("{iot:thingName}", thing_name))
                .any(|pattern| glob(&pattern, resource) || topic::covers(&pattern, resource))
    })
}

/// Glob with `*` alone, iterative: the last star takes one byte more whenever the rest does not fit.
fn glob(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
    let (mut p, mut t) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, t));
                p += 1;
            }
            Some(byte) if text.get(t) == Some(byte) => {
                p += 1;
                t += 1;
            }
            _ => match star {
                Some((at, taken)) => {
                    p = at + 1;
                    t = taken + 1;
                    star = Some((at, taken + 1));
                }
                None => return false,
            },
        }
    }
    pattern.get(p..).is_some_and(|rest| rest.iter().all(|b| *b == b'*'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn allowed(resources: &[&str], resource: &str) -> bool {
        let access =
            json!({MQTT_PROXY: {"c:mqtt:1": {"operations": ["aws.greengrass#Publish"], "resources": resources}}});
        allows(&access, MQTT_PROXY, "aws.greengrass#Publish", resource, "gw1")
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
        assert!(!allowed(&[], "a"));
    }

    #[test]
    fn a_filter_is_covered_only_by_what_is_as_wide() {
        assert!(allowed(&["a/#"], "a/#") && allowed(&["a/#"], "a/+/c") && allowed(&["a/+"], "a/+"));
        assert!(!allowed(&["a/+"], "a/#"));
        assert!(!allowed(&["a/b"], "a/+") && !allowed(&["a/b"], "#"));
    }

    #[test]
    fn other_operations_other_services_and_broken_policies_allow_nothing() {
        let access = json!({MQTT_PROXY: {"p": {"operations": ["aws.greengrass#Publish"], "resources": ["#"]}}});
        assert!(allows(&access, MQTT_PROXY, "aws.greengrass#Publish", "a", "t"));
        assert!(!allows(&access, MQTT_PROXY, "aws.greengrass#Subscribe", "a", "t"));
        assert!(!allows(&access, "aws.greengrass.ipc.pubsub", "aws.greengrass#Publish", "a", "t"));
        for broken in [json!(null), json!([]), json!({MQTT_PROXY: 1}), json!({MQTT_PROXY: {"p": {"resources": ["*"]}}})]
        {
            assert!(!allows(&broken, MQTT_PROXY, "aws.greengrass#Publish", "a", "t"), "{broken}");
        }
    }
}
