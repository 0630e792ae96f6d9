//! greengrass
