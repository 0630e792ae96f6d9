//! AWS IoT SQL, version 2016-03-23, as far as the rules of usual back ends go (AWS IoT developer guide, "AWS IoT SQL
//! reference"): `SELECT` of `*`, paths, `path.*`, literals and `topic(n)`, each with `AS`; `FROM` a topic filter; `WHERE`
//! with `=`, `<>`, `AND`, `OR`, `NOT` and parentheses.
//!
//! What a path does not find is Undefined; so is every comparison with it, and `AND`, `OR` and `NOT` of anything but
//! booleans (or their names as text). A rule acts only where its condition is true. Undefined items of `SELECT` are
//! left out.

use serde_json::{Map, Value};

/// A rule's statement.
#[derive(Debug, Clone)]
pub(crate) struct Rule {
    items: Vec<Item>,
    filter: String,
    condition: Option<Expr>,
}

#[derive(Debug, Clone)]
enum Item {
    /// `*`, or `path.*`: all members, beside the others or under a name.
    All {
        path: Vec<String>,
        name: Option<String>,
    },
    One {
        expr: Expr,
        name: String,
    },
}

#[derive(Debug, Clone)]
enum Expr {
    Literal(Value),
    Path(Vec<String>),
    /// `topic()`, `topic(n)` from 1.
    Topic(Option<usize>),
    Not(Box<Expr>),
    And(Box<Expr>, Box<Expr>),
    Or(Box<Expr>, Box<Expr>),
    Equal(Box<Expr>, Box<Expr>, bool),
}

impl Rule {
    /// Reads a statement.
    pub(crate) fn parse(text: &str) -> Result<Rule, String> {
        let mut parser = Parser { tokens: tokens(text)?, at: 0 };
        parser.keyword("SELECT")?;
        let mut items = vec![parser.item()?];
        while parser.take(",") {
            items.push(parser.item()?);
        }
        parser.keyword("FROM")?;
        let filter = match parser.next() {
            Some(Token::Text(filter)) => filter,
            other => return Err(format!("no topic filter after FROM: {other:?}")),
        };
        let condition = if parser.is_keyword("WHERE") {
            parser.at += 1;
            Some(parser.or()?)
        } else {
            None
        };
        match parser.next() {
            None => Ok(Rule { items, filter, condition }),
            Some(more) => Err(format!("more after the statement: {more:?}")),
        }
    }

    /// What the rule's actions get of a message; nothing where it does not act.
    pub(crate) fn apply(&self, topic: &str, payload: &str) -> Option<Value> {
        if !matches(&self.filter, topic) {
            return None;
        }
        // What is no JSON has no members.
        let message: Value = serde_json::from_str(payload).unwrap_or(Value::String(payload.to_owned()));
        let context = Context { topic, message: &message };
        if let Some(condition) = &self.condition
            && context.value(condition) != Some(Value::Bool(true))
        {
            return None;
        }
        if let [Item::All { path, name: None }] = self.items.as_slice()
            && path.is_empty()
        {
            return Some(message);
        }
        let mut out = Map::new();
        for item in &self.items {
            match item {
                Item::All { path, name } => match (context.path(path), name) {
                    (Some(value), Some(name)) => drop(out.insert(name.clone(), value)),
                    (Some(Value::Object(members)), None) => out.extend(members),
                    _ => {}
                },
                Item::One { expr, name } => {
                    if let Some(value) = context.value(expr) {
                        out.insert(name.clone(), value);
                    }
                }
            }
        }
        Some(Value::Object(out))
    }
}

/// Whether a topic matches a filter (MQTT 3.1.1 §4.7).
fn matches(filter: &str, topic: &str) -> bool {
    if topic.starts_with('$') != filter.starts_with('$') {
        return false;
    }
    let mut levels = topic.split('/');
    for wanted in filter.split('/') {
        match (wanted, levels.next()) {
            ("#", _) => return true,
            ("+", Some(_)) => {}
            (wanted, Some(level)) if wanted == level => {}
            _ => return false,
        }
    }
    levels.next().is_none()
}

struct Context<'a> {
    topic: &'a str,
    message: &'a Value,
}

impl Context<'_> {
    /// `None` is Undefined.
    fn value(&self, expr: &Expr) -> Option<Value> {
        match expr {
            Expr::Literal(value) => Some(value.clone()),
            Expr::Path(path) => self.path(path),
            Expr::Topic(None) => Some(self.topic.into()),
            Expr::Topic(Some(n)) => Some(self.topic.split('/').nth(n.checked_sub(1)?)?.into()),
            Expr::Not(inner) => Some(Value::Bool(!boolean(self.value(inner))?)),
            Expr::And(a, b) => {
                let (a, b) = (boolean(self.value(a))?, boolean(self.value(b))?);
                Some(Value::Bool(a && b))
            }
            Expr::Or(a, b) => {
                let (a, b) = (boolean(self.value(a))?, boolean(self.value(b))?);
                Some(Value::Bool(a || b))
            }
            Expr::Equal(a, b, wanted) => {
                let (a, b) = (self.value(a)?, self.value(b)?);
                Some(Value::Bool(equal(&a, &b) == *wanted))
            }
        }
    }

    fn path(&self, path: &[String]) -> Option<Value> {
        path.iter().try_fold(self.message, |value, key| value.get(key)).cloned()
    }
}

/// Numbers by their value; other types are never equal to each other.
fn equal(a: &Value, b: &Value) -> bool {
    match (a.as_f64(), b.as_f64()) {
        (Some(a), Some(b)) => a == b,
        _ => a == b,
    }
}

fn boolean(value: Option<Value>) -> Option<bool> {
    match value? {
        Value::Bool(value) => Some(value),
        Value::String(text) if text.eq_ignore_ascii_case("true") => Some(true),
        Value::String(text) if text.eq_ignore_ascii_case("false") => Some(false),
        _ => None,
    }
}

#[derive(Debug, Clone, PartialEq)]
enum Token {
    Word(String),
    /// A name in double quotes: never a keyword.
    Quoted(String),
    Text(String),
    Number(f64),
    Sign(String),
}

fn tokens(text: &str) -> Result<Vec<Token>, String> {
    let mut tokens = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let length = |more: fn(char) -> bool| rest.find(|c| !more(c)).unwrap_or(rest.len());
        let used = match first {
            c if c.is_whitespace() => c.len_utf8(),
            c if c.is_ascii_alphabetic() || c == '_' => {
                let end = length(|c| c.is_ascii_alphanumeric() || c == '_');
                tokens.push(Token::Word(rest[..end].to_owned()));
                end
            }
            c if c.is_ascii_digit() => {
                let end = length(|c| c.is_ascii_digit() || c == '.');
                tokens.push(Token::Number(rest[..end].parse().map_err(|e| format!("{}: {e}", &rest[..end]))?));
                end
            }
            quote @ ('\'' | '"') => {
                let inner = &rest[1..];
                let end = inner.find(quote).ok_or("a text without its end")?;
                let word = inner[..end].to_owned();
                tokens.push(if quote == '"' { Token::Quoted(word) } else { Token::Text(word) });
                end + 2
            }
            _ => {
                let sign = ["<>", "=", "(", ")", ",", ".", "*"].into_iter().find(|sign| rest.starts_with(sign));
                let sign = sign.ok_or_else(|| format!("not understood: {rest}"))?;
                tokens.push(Token::Sign(sign.to_owned()));
                sign.len()
            }
        };
        rest = &rest[used..];
    }
    Ok(tokens)
}

struct Parser {
    tokens: Vec<Token>,
    at: usize,
}

impl Parser {
    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at)
    }

    fn next(&mut self) -> Option<Token> {
        let token = self.tokens.get(self.at).cloned();
        self.at += 1;
        token
    }

    fn take(&mut self, sign: &str) -> bool {
        let found = matches!(self.peek(), Some(Token::Sign(found)) if found == sign);
        self.at += usize::from(found);
        found
    }

    fn is_keyword(&self, keyword: &str) -> bool {
        matches!(self.peek(), Some(Token::Word(word)) if word.eq_ignore_ascii_case(keyword))
    }

    fn keyword(&mut self, keyword: &str) -> Result<(), String> {
        if !self.is_keyword(keyword) {
            return Err(format!("{keyword} expected, found {:?}", self.peek()));
        }
        self.at += 1;
        Ok(())
    }

    fn name(&mut self) -> Result<String, String> {
        match self.next() {
            Some(Token::Word(name) | Token::Quoted(name)) => Ok(name),
            other => Err(format!("a name expected, found {other:?}")),
        }
    }

    fn alias(&mut self) -> Result<Option<String>, String> {
        if !self.is_keyword("AS") {
            return Ok(None);
        }
        self.at += 1;
        self.name().map(Some)
    }

    fn item(&mut self) -> Result<Item, String> {
        if self.take("*") {
            return Ok(Item::All { path: Vec::new(), name: self.alias()? });
        }
        let start = self.at;
        // `path.*` is no expression: looked for first.
        if let Ok(first) = self.name() {
            let mut path = vec![first];
            while self.take(".") {
                if self.take("*") {
                    return Ok(Item::All { path, name: self.alias()? });
                }
                path.push(self.name()?);
            }
        }
        self.at = start;
        let expr = self.or()?;
        let name = match (self.alias()?, &expr) {
            (Some(name), _) => name,
            (None, Expr::Path(path)) => path.last().cloned().unwrap_or_default(),
            (None, Expr::Topic(_)) => "topic".to_owned(),
            (None, other) => return Err(format!("{other:?} needs a name with AS")),
        };
        Ok(Item::One { expr, name })
    }

    fn or(&mut self) -> Result<Expr, String> {
        let mut left = self.and()?;
        while self.is_keyword("OR") {
            self.at += 1;
            left = Expr::Or(Box::new(left), Box::new(self.and()?));
        }
        Ok(left)
    }

    fn and(&mut self) -> Result<Expr, String> {
        let mut left = self.not()?;
        while self.is_keyword("AND") {
            self.at += 1;
            left = Expr::And(Box::new(left), Box::new(self.not()?));
        }
        Ok(left)
    }

    fn not(&mut self) -> Result<Expr, String> {
        if self.is_keyword("NOT") {
            self.at += 1;
            return Ok(Expr::Not(Box::new(self.not()?)));
        }
        let left = self.operand()?;
        for (sign, wanted) in [("=", true), ("<>", false)] {
            if self.take(sign) {
                return Ok(Expr::Equal(Box::new(left), Box::new(self.operand()?), wanted));
            }
        }
        Ok(left)
    }

    fn operand(&mut self) -> Result<Expr, String> {
        if self.take("(") {
            let inner = self.or()?;
            return if self.take(")") { Ok(inner) } else { Err("`)` expected".to_owned()) };
        }
        match self.next() {
            Some(Token::Text(text)) => Ok(Expr::Literal(text.into())),
            Some(Token::Number(number)) => Ok(Expr::Literal(number.into())),
            Some(Token::Word(word)) if word.eq_ignore_ascii_case("true") => Ok(Expr::Literal(true.into())),
            Some(Token::Word(word)) if word.eq_ignore_ascii_case("false") => Ok(Expr::Literal(false.into())),
            Some(Token::Word(word)) if word.eq_ignore_ascii_case("null") => Ok(Expr::Literal(Value::Null)),
            Some(Token::Word(word)) if word.eq_ignore_ascii_case("topic") && self.take("(") => {
                let level = match self.peek() {
                    Some(Token::Number(number)) => Some(*number as usize),
                    _ => None,
                };
                self.at += usize::from(level.is_some());
                if self.take(")") { Ok(Expr::Topic(level)) } else { Err("`)` expected".to_owned()) }
            }
            Some(Token::Word(name) | Token::Quoted(name)) => {
                let mut path = vec![name];
                while self.take(".") {
                    path.push(self.name()?);
                }
                Ok(Expr::Path(path))
            }
            other => Err(format!("a value expected, found {other:?}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Rule;
    use serde_json::{Value, json};

    fn apply(sql: &str, topic: &str, payload: Value) -> Option<Value> {
        Rule::parse(sql).unwrap_or_else(|error| panic!("{sql}: {error}")).apply(topic, &payload.to_string())
    }

    #[test]
    fn the_examples_of_the_developer_guide() {
        let red = json!({"color": "red", "temperature": 50});
        let nested = json!({"color": {"red": 255, "green": 0}, "temperature": 50});
        for (sql, payload, want) in [
            ("SELECT * FROM 'a/b'", &red, red.clone()),
            ("SELECT color FROM 'a/b'", &red, json!({"color": "red"})),
            ("SELECT color AS my_color FROM 'a/b'", &red, json!({"my_color": "red"})),
            ("SELECT color as c, temperature as t FROM 'a/b'", &red, json!({"c": "red", "t": 50})),
            ("SELECT *, 15 as speed FROM 'a/b'", &red, json!({"color": "red", "temperature": 50, "speed": 15.0})),
            ("SELECT color.red as red_value FROM 'a/b'", &nested, json!({"red_value": 255})),
            ("SELECT color.* FROM 'a/b'", &nested, json!({"red": 255, "green": 0})),
            (
                "SELECT color.* as c, topic(2) as t FROM 'a/b'",
                &nested,
                json!({"c": {"red": 255, "green": 0}, "t": "b"}),
            ),
            ("SELECT missing, \"color\" FROM '+/b'", &red, json!({"color": "red"})),
        ] {
            assert_eq!(apply(sql, "a/b", payload.clone()), Some(want), "{sql}");
        }
    }

    #[test]
    fn conditions_with_undefined_are_never_true() {
        let message = json!({"a": 1, "b": "x", "n": null, "t": "TRUE"});
        for (condition, acts) in [
            ("a = 1", true),
            ("a = 1.0", true),
            ("a <> 2", true),
            ("a = '1'", false),
            ("a <> '1'", true),
            ("b = 'x' AND a <> 2", true),
            ("b = 'y' OR a = 1", true),
            ("NOT b = 'y'", true),
            ("NOT (b = 'x' OR a = 2)", false),
            ("missing = 'x'", false),
            ("missing <> 'x'", false),
            ("NOT missing = 'x'", false),
            ("missing <> 'x' OR a = 1", false),
            ("a.b.c <> 1", false),
            ("n = null", true),
            ("n <> null", false),
            ("b <> null", true),
            ("t AND a = 1", true),
            ("NOT t", false),
            ("b", false),
            ("topic(1) = 'a' AND topic() = 'a/b'", true),
            ("topic(3) = 'a'", false),
            ("topic(0) <> 'a'", false),
        ] {
            let sql = format!("SELECT * FROM 'a/b' WHERE {condition}");
            assert_eq!(apply(&sql, "a/b", message.clone()).is_some(), acts, "{condition}");
        }
        let rule = Rule::parse("SELECT * FROM 'a/b' WHERE x = 1").unwrap();
        assert_eq!(rule.apply("a/b", "no JSON"), None);
    }

    #[test]
    fn filters_are_those_of_mqtt() {
        for (filter, topic, acts) in [
            ("a/+", "a/b", true),
            ("a/+", "a/b/c", false),
            ("a/#", "a/b/c", true),
            ("a/#", "a", true),
            ("+/b", "a/b", true),
            ("#", "$aws/x", false),
            ("+/x", "$aws/x", false),
            ("$aws/#", "$aws/x", true),
            ("a/b", "a", false),
        ] {
            assert_eq!(
                apply(&format!("SELECT * FROM '{filter}'"), topic, json!({})).is_some(),
                acts,
                "{filter} {topic}"
            );
        }
    }

    #[test]
    fn what_is_no_statement_is_refused() {
        for bad in [
            "",
            "SELECT",
            "SELECT * FROM",
            "SELECT * FROM a",
            "SELECT * FROM 'a' WHERE",
            "SELECT * FROM 'a' WHERE (a = 1",
            "SELECT * FROM 'a' more",
            "SELECT 1 FROM 'a'",
            "SELECT a. FROM 'a'",
            "SELECT * FROM 'a",
            "SELECT a ; FROM 'a'",
        ] {
            assert!(Rule::parse(bad).is_err(), "{bad}");
        }
    }
}
