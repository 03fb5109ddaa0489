//! By which names an origin may be asked for.
//!
//! ```text
//! NAME                            a service; a container by its bare name; a file by its path
//! kernel                          the kernel
//! NAMESPACE/POD                   all containers of a pod
//! NAMESPACE/POD:CONTAINER         in all its runs
//! NAMESPACE/POD:CONTAINER:ID      as `talosctl` lists it: the first twelve characters of its id
//! ID                              a container, by at least four characters of its id's beginning
//! ```

use crate::record::{FieldValue, Origin, OriginKind, Record};

/// Characters of an id that are shown.
const SHOWN_ID: usize = 12;
/// Characters of an id that are enough to ask for it.
const SHORTEST_ID: usize = 4;
/// The field by which records of [`OriginKind::Peer`] say whose they are.
const SERVICE: &[u8] = b"talos-service";

/// The names of an origin.
pub(super) struct Names<'a> {
    pub(super) origin: &'a Origin,
    pub(super) namespace: Option<&'a str>,
    pub(super) pod: Option<&'a str>,
    pub(super) container: Option<&'a str>,
}

impl<'a> Names<'a> {
    pub(super) fn of(origin: &'a Origin) -> Self {
        let attribute = |wanted: &str| {
            let found = origin.attributes.iter().find(|(key, _)| key == wanted);
            found.map(|(_, value)| value.as_str())
        };
        Self { origin, namespace: attribute("namespace"), pod: attribute("pod"), container: attribute("container") }
    }

    pub(super) fn is_container(&self) -> bool {
        self.origin.kind == OriginKind::Container || self.container.is_some() || self.pod.is_some()
    }

    /// The name that lists show: the most exact one.
    pub(super) fn id(&self) -> String {
        let name = match self.origin.kind {
            OriginKind::Kernel => "kernel",
            _ => &self.origin.name,
        };
        let id = self.container.map(|id| id.get(..SHOWN_ID).unwrap_or(id));
        match (self.namespace, self.pod, id) {
            (Some(namespace), Some(pod), Some(id)) => format!("{namespace}/{pod}:{name}:{id}"),
            (Some(namespace), Some(pod), None) => format!("{namespace}/{pod}:{name}"),
            _ => name.to_owned(),
        }
    }

    pub(super) fn is(&self, wanted: &str) -> bool {
        let is_id = |id: &str| wanted.len() >= SHORTEST_ID && id.starts_with(wanted);
        if self.origin.name == wanted || self.container.is_some_and(is_id) || self.id() == wanted {
            return true;
        }
        let (Some(namespace), Some(pod)) = (self.namespace, self.pod) else { return false };
        let rest = wanted.strip_prefix(namespace).and_then(|rest| rest.strip_prefix('/'));
        let Some(rest) = rest.and_then(|rest| rest.strip_prefix(pod)) else { return false };
        rest.is_empty() || rest.strip_prefix(':') == Some(&self.origin.name)
    }
}

/// Whose a record of [`OriginKind::Peer`] is, where it says so itself.
pub(super) fn service_of<'a>(record: &Record<'a>) -> Option<&'a [u8]> {
    record.fields().find_map(|(key, value)| match value {
        FieldValue::Text(service) if key == SERVICE => Some(service),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(kind: OriginKind, name: &str, attributes: &[(&str, &str)]) -> Origin {
        let attributes = attributes.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        Origin { attributes, ..Origin::new(kind, name) }
    }

    #[test]
    fn a_container_of_a_pod_has_many_names() {
        let attributes = [("container", "4f0c1234567890ab"), ("namespace", "default"), ("pod", "web-0")];
        let origin = origin(OriginKind::Container, "web", &attributes);
        let names = Names::of(&origin);
        assert_eq!(names.id(), "default/web-0:web:4f0c12345678");
        assert!(names.is_container());
        let known = ["web", "4f0c", "4f0c1234567890ab", "default/web-0", "default/web-0:web", &names.id()];
        for name in known {
            assert!(names.is(name), "{name}");
        }
        for name in
            ["", "we", "4f0", "0c12", "default", "default/", "default/web", "default/web-0:", "web-0", "a/web-0"]
        {
            assert!(!names.is(name), "{name}");
        }
    }

    #[test]
    fn others_have_their_own() {
        let kernel = origin(OriginKind::Kernel, "", &[]);
        assert!(Names::of(&kernel).is("kernel") && !Names::of(&kernel).is_container());
        let file = origin(OriginKind::File, "/var/log/a.log", &[]);
        assert!(Names::of(&file).is("/var/log/a.log") && !Names::of(&file).is("/var/log"));
        let docker = origin(OriginKind::Container, "db", &[("container", "é")]);
        assert!(Names::of(&docker).is("db") && Names::of(&docker).is_container());
        assert_eq!(Names::of(&docker).id(), "db");
    }
}
