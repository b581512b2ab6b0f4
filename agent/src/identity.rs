//! Who this host's interfaces are, to tools that expect AWS's.

use std::{fs, path::Path};

use flowlake_common::hash;

use crate::capture::live::Device;

const MACHINE_ID: &str = "/etc/machine-id";
const HOST_NAME: &str = "/proc/sys/kernel/hostname";
/// `NET_ADDR_RANDOM` (netdevice.h): the kernel made the hardware address up, and makes up another next time.
const RANDOM_ADDRESS: &str = "1";

/// The `interface-id` of a device: `eni-f` and 16 hexadecimal digits of machine id, hardware address and name. The same
/// after a restart; AWS's own never begin with `f` here.
#[must_use]
pub fn interface_id(device: &Device) -> String {
    let kind = Path::new("/sys/class/net").join(&device.name).join("addr_assign_type");
    let random = fs::read_to_string(kind).is_ok_and(|kind| kind.trim() == RANDOM_ADDRESS);
    let machine = fs::read_to_string(MACHINE_ID).unwrap_or_default();
    made_from(machine.trim(), if random { "" } else { &device.address }, &device.name)
}

/// This host's name; `None` when the kernel does not tell one.
#[must_use]
pub fn host_name() -> Option<String> {
    let name = fs::read_to_string(HOST_NAME).ok()?;
    Some(name.trim().to_owned()).filter(|name| !name.is_empty() && name != "(none)")
}

/// A tag's value as flow logs print it: what is neither letter nor digit is percent-encoded UTF-8.
#[must_use]
pub fn tag_value(text: &str) -> String {
    percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
}

fn made_from(machine: &str, address: &str, name: &str) -> String {
    let digits = hash::sha256(format!("{machine}\n{address}\n{name}").as_bytes());
    format!("eni-f{}", digits.get(..16).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tag_values_are_percent_encoded() {
        assert_eq!(tag_value("web-1.example"), "web%2D1%2Eexample");
        assert_eq!(tag_value("-"), "%2D");
        assert_eq!(tag_value("büro 2"), "b%C3%BCro%202");
    }

    #[test]
    fn an_id_looks_like_awss_and_differs_by_each_part() {
        let id = made_from("m", "a", "n");
        assert_eq!(id.len(), "eni-".len() + 17);
        assert!(id.starts_with("eni-f"));
        for other in [made_from("m", "a", "o"), made_from("m", "b", "n"), made_from("n", "a", "n")] {
            assert_ne!(id, other);
        }
    }
}
