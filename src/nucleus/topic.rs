//! MQTT topic names and filters: validity and matching (MQTT 3.1.1 §4.7).

/// Longest topic AWS IoT takes, bytes.
pub(super) const MAX_TOPIC: usize = 256;

/// Whether a message may be published to `topic`.
pub(super) fn valid_name(topic: &str) -> bool {
    !topic.is_empty() && topic.len() <= MAX_TOPIC && !topic.contains(['+', '#', '\0'])
}

/// Whether `filter` may be subscribed to.
pub(super) fn valid_filter(filter: &str) -> bool {
    if filter.is_empty() || filter.len() > MAX_TOPIC || filter.contains('\0') {
        return false;
    }
    let mut levels = filter.split('/').peekable();
    while let Some(level) = levels.next() {
        let wildcard = level.contains(['+', '#']);
        if wildcard && level.len() > 1 || level == "#" && levels.peek().is_some() {
            return false;
        }
    }
    true
}

/// Whether a message on `topic` reaches a subscription to `filter`.
pub(super) fn matches(filter: &str, topic: &str) -> bool {
    if topic.starts_with('$') && filter.starts_with(['+', '#']) {
        return false;
    }
    let mut topic = topic.split('/');
    for level in filter.split('/') {
        if level == "#" {
            return true;
        }
        match topic.next() {
            Some(name) if level == "+" || level == name => {}
            _ => return false,
        }
    }
    topic.next().is_none()
}

/// Whether `filter` covers every topic that the topic or filter `other` stands for. As on lite `a/#` is not taken to
/// cover `a`, and no exception is made for topics that begin with `$`.
pub(super) fn covers(filter: &str, other: &str) -> bool {
    let mut other = other.split('/');
    for level in filter.split('/') {
        match (level, other.next()) {
            ("#", Some(_)) => return true,
            ("+", Some(name)) if name != "#" => {}
            (level, Some(name)) if level == name => {}
            _ => return false,
        }
    }
    other.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_match_as_the_standard_says() {
        for (filter, topic, expected) in [
            ("a/b", "a/b", true),
            ("a/b", "a/b/c", false),
            ("a/+", "a/b", true),
            ("a/+", "a", false),
            ("a/+", "a/", true),
            ("a/+/c", "a/b/c", true),
            ("a/#", "a", true),
            ("a/#", "a/b/c", true),
            ("#", "a/b", true),
            ("#", "$aws/things", false),
            ("+/things", "$aws/things", false),
            ("$aws/#", "$aws/things", true),
            ("+", "ü", true),
        ] {
            assert_eq!(matches(filter, topic), expected, "{filter} {topic}");
        }
    }

    #[test]
    fn wildcards_stand_alone_and_the_last_is_last() {
        for good in ["#", "+", "a/+/b", "a/#", "/", "$aws/things/+/shadow/get"] {
            assert!(valid_filter(good), "{good}");
        }
        for bad in ["", "a#", "#/a", "a/+b", "a/#/b", "a\0"] {
            assert!(!valid_filter(bad), "{bad}");
        }
        assert!(valid_name("a/b") && !valid_name("a/+") && !valid_name("") && !valid_name(&"x".repeat(257)));
    }
}
