//! Object identifiers, and in which groups a poll asks for them. Data only.
//!
//! Names are those of the MIBs: SNMPv2-MIB, IF-MIB, HOST-RESOURCES-MIB (RFC 2790), ENTITY-MIB, Printer-MIB (RFC 3805),
//! PRINTER-PORT-MONITOR-MIB (PWG 5107.1).

/// An object identifier as it stands in tables of this crate.
pub type Arcs = &'static [u32];

/// `sysDescr.0`
pub const SYS_DESCR: Arcs = &[1, 3, 6, 1, 2, 1, 1, 1, 0];
/// `sysObjectID.0`
pub const SYS_OBJECT_ID: Arcs = &[1, 3, 6, 1, 2, 1, 1, 2, 0];
/// `sysUpTime.0`, hundredths of a second
pub const SYS_UP_TIME: Arcs = &[1, 3, 6, 1, 2, 1, 1, 3, 0];
/// `sysName.0`
pub const SYS_NAME: Arcs = &[1, 3, 6, 1, 2, 1, 1, 5, 0];
/// `sysLocation.0`
pub const SYS_LOCATION: Arcs = &[1, 3, 6, 1, 2, 1, 1, 6, 0];
/// What every poll begins with, and what tells which version, credentials and context an agent takes.
pub const SYSTEM: &[Arcs] = &[SYS_DESCR, SYS_OBJECT_ID, SYS_UP_TIME, SYS_NAME, SYS_LOCATION];

/// `enterprises`: below it, the number of the maker of the agent.
pub const ENTERPRISES: Arcs = &[1, 3, 6, 1, 4, 1];

/// `ifEntry`
pub const IF_ENTRY: Arcs = &[1, 3, 6, 1, 2, 1, 2, 2, 1];
/// `ifType` in it
pub const IF_TYPE: u32 = 3;
/// `ifPhysAddress` in it
pub const IF_PHYS_ADDRESS: u32 = 6;

/// `hrDeviceEntry`
pub const HR_DEVICE: Arcs = &[1, 3, 6, 1, 2, 1, 25, 3, 2, 1];
/// `hrDeviceType` in it
pub const HR_DEVICE_TYPE: u32 = 2;
/// `hrDeviceDescr` in it
pub const HR_DEVICE_DESCR: u32 = 3;
/// `hrDeviceID` in it
pub const HR_DEVICE_ID: u32 = 4;
/// `hrDeviceStatus` in it
pub const HR_DEVICE_STATUS: u32 = 5;
/// `hrDevicePrinter`, a value of `hrDeviceType`
pub const HR_DEVICE_PRINTER: Arcs = &[1, 3, 6, 1, 2, 1, 25, 3, 1, 5];
/// `hrPrinterEntry`
pub const HR_PRINTER: Arcs = &[1, 3, 6, 1, 2, 1, 25, 3, 5, 1];
/// `hrPrinterStatus` in it
pub const HR_PRINTER_STATUS: u32 = 1;
/// `hrPrinterDetectedErrorState` in it
pub const HR_PRINTER_ERRORS: u32 = 2;

/// `entPhysicalSerialNum`
pub const ENT_SERIAL: Arcs = &[1, 3, 6, 1, 2, 1, 47, 1, 1, 1, 1, 11];

/// `printmib`: everything of the Printer-MIB is below it.
pub const PRINT_MIB: Arcs = &[1, 3, 6, 1, 2, 1, 43];
/// `prtGeneralEntry`
pub const PRT_GENERAL: Arcs = &[1, 3, 6, 1, 2, 1, 43, 5, 1, 1];
/// `prtGeneralCurrentLocalization` in it
pub const GENERAL_LOCALIZATION: u32 = 2;
/// `prtConsoleLocalization` in it
pub const GENERAL_CONSOLE_LOCALIZATION: u32 = 10;
/// `prtGeneralPrinterName` in it
pub const GENERAL_NAME: u32 = 16;
/// `prtGeneralSerialNumber` in it
pub const GENERAL_SERIAL: u32 = 17;
/// `prtCoverEntry`
pub const PRT_COVER: Arcs = &[1, 3, 6, 1, 2, 1, 43, 6, 1, 1];
/// `prtCoverStatus` in it
pub const COVER_STATUS: u32 = 3;
/// `prtLocalizationEntry`
pub const PRT_LOCALIZATION: Arcs = &[1, 3, 6, 1, 2, 1, 43, 7, 1, 1];
/// `prtLocalizationCharacterSet` in it
pub const LOCALIZATION_CHARSET: u32 = 4;
/// `prtInputEntry`
pub const PRT_INPUT: Arcs = &[1, 3, 6, 1, 2, 1, 43, 8, 2, 1];
/// `prtInputCapacityUnit` in it
pub const INPUT_UNIT: u32 = 8;
/// `prtInputMaxCapacity` in it
pub const INPUT_MAX: u32 = 9;
/// `prtInputCurrentLevel` in it
pub const INPUT_LEVEL: u32 = 10;
/// `prtInputMediaName` in it
pub const INPUT_MEDIA: u32 = 12;
/// `prtInputName` in it
pub const INPUT_NAME: u32 = 13;
/// `prtInputDescription` in it
pub const INPUT_DESCRIPTION: u32 = 18;
/// `prtMarkerEntry`
pub const PRT_MARKER: Arcs = &[1, 3, 6, 1, 2, 1, 43, 10, 2, 1];
/// `prtMarkerCounterUnit` in it
pub const MARKER_UNIT: u32 = 3;
/// `prtMarkerLifeCount` in it
pub const MARKER_LIFE_COUNT: u32 = 4;
/// `prtMarkerSuppliesEntry`
pub const PRT_SUPPLIES: Arcs = &[1, 3, 6, 1, 2, 1, 43, 11, 1, 1];
/// `prtMarkerSuppliesColorantIndex` in it
pub const SUPPLIES_COLORANT: u32 = 3;
/// `prtMarkerSuppliesClass` in it
pub const SUPPLIES_CLASS: u32 = 4;
/// `prtMarkerSuppliesType` in it
pub const SUPPLIES_TYPE: u32 = 5;
/// `prtMarkerSuppliesDescription` in it
pub const SUPPLIES_DESCRIPTION: u32 = 6;
/// `prtMarkerSuppliesSupplyUnit` in it
pub const SUPPLIES_UNIT: u32 = 7;
/// `prtMarkerSuppliesMaxCapacity` in it
pub const SUPPLIES_MAX: u32 = 8;
/// `prtMarkerSuppliesLevel` in it
pub const SUPPLIES_LEVEL: u32 = 9;
/// `prtChannelEntry`
pub const PRT_CHANNEL: Arcs = &[1, 3, 6, 1, 2, 1, 43, 14, 1, 1];
/// `prtChannelType` in it
pub const CHANNEL_TYPE: u32 = 2;
/// `prtChannelState` in it
pub const CHANNEL_STATE: u32 = 6;
/// `prtChannelInformation` in it
pub const CHANNEL_INFORMATION: u32 = 9;
/// `prtMarkerColorantEntry`
pub const PRT_COLORANT: Arcs = &[1, 3, 6, 1, 2, 1, 43, 12, 1, 1];
/// `prtMarkerColorantValue` in it
pub const COLORANT_VALUE: u32 = 4;
/// `prtMediaPathEntry`
pub const PRT_MEDIA_PATH: Arcs = &[1, 3, 6, 1, 2, 1, 43, 13, 4, 1];
/// `prtMediaPathType` in it
pub const MEDIA_PATH_TYPE: u32 = 9;
/// `prtInterpreterEntry`
pub const PRT_INTERPRETER: Arcs = &[1, 3, 6, 1, 2, 1, 43, 15, 1, 1];
/// `prtInterpreterLangFamily` in it
pub const INTERPRETER_FAMILY: u32 = 2;
/// `prtConsoleDisplayBufferText`
pub const CONSOLE_TEXT: Arcs = &[1, 3, 6, 1, 2, 1, 43, 16, 5, 1, 2];
/// `prtAlertEntry`
pub const PRT_ALERT: Arcs = &[1, 3, 6, 1, 2, 1, 43, 18, 1, 1];
/// `prtAlertSeverityLevel` in it
pub const ALERT_SEVERITY: u32 = 2;
/// `prtAlertGroup` in it
pub const ALERT_GROUP: u32 = 4;
/// `prtAlertCode` in it
pub const ALERT_CODE: u32 = 7;
/// `prtAlertDescription` in it
pub const ALERT_DESCRIPTION: u32 = 8;

/// `ppmPrinterIEEE1284DeviceId`
pub const PPM_DEVICE_ID: Arcs = &[1, 3, 6, 1, 4, 1, 2699, 1, 2, 1, 2, 1, 1, 3];

/// One column to walk: the entry and the column's number, or a whole subtree (0).
pub type Column = (Arcs, u32);

/// What is walked together, and whether it belongs to the printer proper (asked again in another context where an agent
/// keeps its Printer-MIB there).
#[derive(Debug, Clone, Copy)]
pub struct Group {
    /// For logs and errors.
    pub name: &'static str,
    /// Its columns, walked side by side; at most 8, for the answers of old network cards.
    pub columns: &'static [Column],
    /// Whether it is of the Printer-MIB.
    pub of_printer: bool,
}

/// What a poll walks, in this order.
pub const GROUPS: &[Group] = &[
    Group {
        name: "hrDeviceTable",
        columns: &[
            (HR_DEVICE, HR_DEVICE_TYPE),
            (HR_DEVICE, HR_DEVICE_DESCR),
            (HR_DEVICE, HR_DEVICE_ID),
            (HR_DEVICE, HR_DEVICE_STATUS),
            (HR_PRINTER, HR_PRINTER_STATUS),
            (HR_PRINTER, HR_PRINTER_ERRORS),
        ],
        of_printer: false,
    },
    Group { name: "ifTable", columns: &[(IF_ENTRY, IF_TYPE), (IF_ENTRY, IF_PHYS_ADDRESS)], of_printer: false },
    Group {
        name: "prtGeneralTable",
        columns: &[
            (PRT_GENERAL, GENERAL_LOCALIZATION),
            (PRT_GENERAL, GENERAL_CONSOLE_LOCALIZATION),
            (PRT_GENERAL, GENERAL_NAME),
            (PRT_GENERAL, GENERAL_SERIAL),
            (PRT_LOCALIZATION, LOCALIZATION_CHARSET),
            (PRT_MARKER, MARKER_UNIT),
            (PRT_MARKER, MARKER_LIFE_COUNT),
            (PRT_COVER, COVER_STATUS),
        ],
        of_printer: true,
    },
    Group {
        name: "prtMarkerSuppliesTable",
        columns: &[
            (PRT_SUPPLIES, SUPPLIES_COLORANT),
            (PRT_SUPPLIES, SUPPLIES_CLASS),
            (PRT_SUPPLIES, SUPPLIES_TYPE),
            (PRT_SUPPLIES, SUPPLIES_DESCRIPTION),
            (PRT_SUPPLIES, SUPPLIES_UNIT),
            (PRT_SUPPLIES, SUPPLIES_MAX),
            (PRT_SUPPLIES, SUPPLIES_LEVEL),
            (PRT_COLORANT, COLORANT_VALUE),
        ],
        of_printer: true,
    },
    Group {
        name: "prtInputTable",
        columns: &[
            (PRT_INPUT, INPUT_UNIT),
            (PRT_INPUT, INPUT_MAX),
            (PRT_INPUT, INPUT_LEVEL),
            (PRT_INPUT, INPUT_MEDIA),
            (PRT_INPUT, INPUT_NAME),
            (PRT_INPUT, INPUT_DESCRIPTION),
        ],
        of_printer: true,
    },
    Group {
        name: "prtAlertTable",
        columns: &[
            (PRT_ALERT, ALERT_SEVERITY),
            (PRT_ALERT, ALERT_GROUP),
            (PRT_ALERT, ALERT_CODE),
            (PRT_ALERT, ALERT_DESCRIPTION),
        ],
        of_printer: true,
    },
    Group {
        name: "prtInterpreterTable",
        columns: &[(PRT_INTERPRETER, INTERPRETER_FAMILY), (PRT_MEDIA_PATH, MEDIA_PATH_TYPE), (CONSOLE_TEXT, 0)],
        of_printer: true,
    },
    Group { name: "identity", columns: &[(PPM_DEVICE_ID, 0), (ENT_SERIAL, 0)], of_printer: false },
];
