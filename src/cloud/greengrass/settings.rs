//! What the nucleus tells a component through its environment. Nothing here has a default: a component that guesses
//! a token or a path talks to nobody, or to the wrong one.

use std::fmt;
use std::path::PathBuf;

/// Variable with the authentication token, new at each start of the component.
pub const TOKEN_VARIABLE: &str = "SVCUID";
/// Variable with the path of the nucleus' Unix socket.
pub const SOCKET_VARIABLE: &str = "AWS_GG_NUCLEUS_DOMAIN_SOCKET_FILEPATH_FOR_COMPONENT";
/// Variable with the gateway's thing name.
pub const THING_NAME_VARIABLE: &str = "AWS_IOT_THING_NAME";
/// Variable with the component's name. Not set by the nucleus: the recipe's run script sets it.
pub const COMPONENT_NAME_VARIABLE: &str = "PRINTGATE_COMPONENT_NAME";

/// How to reach the nucleus and who we are to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IpcSettings {
    /// Path of the nucleus' Unix socket.
    pub socket: PathBuf,
    /// The token of this start.
    pub token: Token,
    /// The gateway's thing name, where the nucleus gave one.
    pub thing_name: Option<String>,
    /// Our component's name: with it nucleus lite gives a fresh token after it was restarted.
    pub component_name: Option<String>,
}

impl IpcSettings {
    /// Reads the settings with `lookup` (normally the process environment). An empty value counts as absent.
    ///
    /// # Errors
    /// Names every variable that is missing, all at once.
    pub fn from_env(lookup: impl Fn(&str) -> Option<String>) -> Result<Self, IpcSettingsError> {
        let lookup = |name: &str| lookup(name).map(|v| v.trim().to_owned()).filter(|v| !v.is_empty());
        match (lookup(SOCKET_VARIABLE), lookup(TOKEN_VARIABLE)) {
            (Some(socket), Some(token)) => Ok(Self {
                socket: socket.into(),
                token: Token::new(token),
                thing_name: lookup(THING_NAME_VARIABLE),
                component_name: lookup(COMPONENT_NAME_VARIABLE),
            }),
            (socket, token) => Err(IpcSettingsError { socket: socket.is_none(), token: token.is_none() }),
        }
    }
}

/// The environment lacks what a Greengrass nucleus gives to a component.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IpcSettingsError {
    socket: bool,
    token: bool,
}

impl std::error::Error for IpcSettingsError {}

impl fmt::Display for IpcSettingsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let missing = match (self.socket, self.token) {
            (true, true) => "neither is set",
            (true, false) => "the socket path is not set",
            (false, _) => "the token is not set",
        };
        write!(
            f,
            "cannot reach a Greengrass nucleus: it gives a component the socket path in {SOCKET_VARIABLE} and a token \
             in {TOKEN_VARIABLE}, and {missing}. Deploy printgate as a Greengrass component, or start it next to \
             `printgate nucleus`, which prints both; `printgate demo` needs neither"
        )
    }
}

/// The authentication token. A secret: `Debug` does not show it and there is no `Display`.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    /// Wraps a token.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The token itself, for the CONNECT message only.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}
