//! A row before it becomes columns: small, of one size, its texts kept once beside it.

use std::{fmt, net::IpAddr};

use foldhash::fast::RandomState;
use indexmap::{IndexMap, IndexSet};

/// A text of [`Texts`]; [`Sym::NULL`] is no text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Sym(u32);

impl Sym {
    /// No text.
    pub const NULL: Self = Self(0);

    /// Its place among the texts; `None` for [`Sym::NULL`].
    #[must_use]
    pub fn index(self) -> Option<usize> {
        (self.0 as usize).checked_sub(1)
    }
}

/// Every text of a set of rows, once. Allocates only for a text that is new.
#[derive(Debug, Default)]
pub struct Texts {
    texts: IndexSet<Box<str>, RandomState>,
    addresses: IndexMap<IpAddr, Sym, RandomState>,
    bytes: usize,
    longest: usize,
}

impl Texts {
    /// The symbol of a text.
    #[inline]
    pub fn intern(&mut self, text: &str) -> Sym {
        let index = self.texts.get_index_of(text).unwrap_or_else(|| {
            self.bytes += text.len();
            self.longest = self.longest.max(text.len());
            self.texts.insert_full(text.into()).0
        });
        // Texts are limited by bytes, long before 2^32 of them.
        Sym(u32::try_from(index + 1).unwrap_or(u32::MAX))
    }

    /// The symbol of a text that may be absent.
    #[inline]
    pub fn maybe(&mut self, text: Option<&str>) -> Sym {
        text.map_or(Sym::NULL, |text| self.intern(text))
    }

    /// The symbol of an address in its canonical form.
    #[inline]
    pub fn address(&mut self, address: Option<IpAddr>) -> Sym {
        let Some(address) = address else {
            return Sym::NULL;
        };
        if let Some(known) = self.addresses.get(&address) {
            return *known;
        }
        let sym = self.intern(&address.to_string());
        self.addresses.insert(address, sym);
        sym
    }

    /// All texts, in the order of their symbols.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.texts.iter().map(AsRef::as_ref)
    }

    /// Bytes of all texts together.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Bytes of the longest text.
    #[must_use]
    pub fn longest(&self) -> usize {
        self.longest
    }
}

/// One end of a flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Endpoint {
    /// `ip`.
    pub ip: Sym,
    /// The one `intermediate_ips` there can be.
    pub intermediate_ip: Sym,
    /// `port`.
    pub port: Option<u16>,
    /// `svc_name`.
    pub svc_name: Sym,
    /// `interface_uid`.
    pub interface_uid: Sym,
    /// `vpc_uid`.
    pub vpc_uid: Sym,
    /// `instance_uid`.
    pub instance_uid: Sym,
    /// `subnet_uid`.
    pub subnet_uid: Sym,
}

/// What the firewall did, and with it activity, action, disposition and type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// ACCEPT: activity 6 Traffic.
    Accept,
    /// REJECT: activity 5 Refuse.
    Reject,
    /// Neither, as in NODATA: activity 0 Unknown.
    Unknown,
    /// Traffic that nobody judged: activity 6, but the action is unknown.
    None,
}

/// A row of the lake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row {
    /// `time`, and with it time_dt and start_time_dt: milliseconds since the epoch.
    pub time: i64,
    /// `end_time_dt`, likewise.
    pub end_time: Option<i64>,
    /// `traffic.packets`.
    pub packets: Option<i64>,
    /// `traffic.bytes`.
    pub bytes: Option<i64>,
    /// `src_endpoint`.
    pub source: Endpoint,
    /// `dst_endpoint`.
    pub destination: Endpoint,
    /// `metadata.product.version`.
    pub product_version: Sym,
    /// `cloud.account.uid`.
    pub account: Sym,
    /// `cloud.region`.
    pub region: Sym,
    /// `cloud.zone`.
    pub zone: Sym,
    /// `connection_info.protocol_ver`.
    pub protocol_ver: Sym,
    /// `connection_info.boundary`.
    pub boundary: Sym,
    /// `connection_info.direction`.
    pub direction: Sym,
    /// `status_code`.
    pub status_code: Sym,
    /// `connection_info.boundary_id`.
    pub boundary_id: u8,
    /// `connection_info.direction_id`.
    pub direction_id: u8,
    /// `connection_info.protocol_num`.
    pub protocol_num: Option<u8>,
    /// `connection_info.tcp_flags`.
    pub tcp_flags: Option<u8>,
    /// Activity, action, disposition and type.
    pub verdict: Verdict,
    /// `unmapped`: first pair and number of pairs in the rows' common list.
    pub unmapped: (u32, u16),
}

/// Whose records these are: it decides product, vendor and cloud provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// AWS's own VPC flow logs.
    Aws,
    /// flowlake's agent.
    OnPremises,
    /// Zeek, on premises.
    Zeek,
    /// Suricata, on premises.
    Suricata,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Aws => "AWS",
            Self::OnPremises => "flowlake's agent",
            Self::Zeek => "Zeek",
            Self::Suricata => "Suricata",
        })
    }
}

impl Origin {
    /// The lake source that has its rows unless another is named: one for each, as their rows are counted apart.
    #[must_use]
    pub const fn source(self) -> &'static str {
        match self {
            Self::Aws => "flowlake_vpc",
            Self::OnPremises => "flowlake_agent",
            Self::Zeek => "flowlake_zeek",
            Self::Suricata => "flowlake_suricata",
        }
    }
}

/// Rows of one partition, with their texts.
#[derive(Debug, Default)]
pub struct Rows {
    pub(super) texts: Texts,
    pub(super) rows: Vec<Row>,
    /// Keys and values of `unmapped`, of all rows.
    pub(super) pairs: Vec<(Sym, Sym)>,
    /// Scratch for a key's OCSF form.
    key: String,
}

impl Rows {
    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Bytes that the rows take, about.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.rows.len() * size_of::<Row>() + self.pairs.len() * size_of::<(Sym, Sym)>() + self.texts.bytes()
    }

    /// Bytes of the longest text.
    #[must_use]
    pub fn longest_text(&self) -> usize {
        self.texts.longest()
    }

    /// Sorts the rows by time; those of one time stay in order.
    pub fn sort(&mut self) {
        if !self.rows.is_sorted_by_key(|row| row.time) {
            self.rows.sort_by_key(|row| row.time);
        }
    }

    pub(super) fn push(&mut self, row: Row) {
        self.rows.push(row);
    }

    pub(super) fn pair_count(&self) -> u32 {
        u32::try_from(self.pairs.len()).unwrap_or(u32::MAX)
    }

    pub(super) fn push_pair(&mut self, key: &str, value: &str) {
        let pair = (self.texts.intern(key), self.texts.intern(value));
        self.pairs.push(pair);
    }

    /// A pair whose key is a column's name, with `_` for `-`.
    pub(super) fn push_unknown(&mut self, name: &str, value: &str) {
        self.key.clear();
        self.key.extend(name.chars().map(|letter| if letter == '-' { '_' } else { letter }));
        let pair = (self.texts.intern(&self.key), self.texts.intern(value));
        self.pairs.push(pair);
    }
}
