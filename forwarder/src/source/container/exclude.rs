//! Containers that nobody wants the output of, by patterns of their names.

use std::fmt;
use std::path::Path;

use super::ContainerIdentity;
use crate::source::file::Glob;

/// A pattern of a container's name, or of `NAMESPACE/POD/CONTAINER` in Kubernetes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamePattern {
    text: String,
    /// The name as a path, which is what patterns are made for.
    path: Glob,
    has_pod: bool,
}

impl NamePattern {
    /// What is accepted, on one line.
    pub const ACCEPTED: &str =
        "a container's name, or NAMESPACE/POD/CONTAINER in Kubernetes; *, ? and [a-z] stand for others";

    /// # Errors
    /// What is wrong with `text`, quoting it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is no pattern of a container's name");
        let names = text.split('/').collect::<Vec<_>>();
        if !matches!(names.len(), 1 | 3) || names.iter().any(|name| matches!(*name, "" | "." | ".." | "**")) {
            return Err(wrong());
        }
        let path = Glob::parse(&format!("/{text}")).map_err(|_| wrong())?;
        Ok(Self { text: text.to_owned(), path, has_pod: names.len() == 3 })
    }

    /// Whether the container is one of those that the pattern stands for.
    pub fn matches(&self, identity: &ContainerIdentity) -> bool {
        match (self.has_pod, &identity.namespace, &identity.pod) {
            (false, ..) => self.path.matches(Path::new(&format!("/{}", identity.name))),
            (true, Some(namespace), Some(pod)) => {
                self.path.matches(Path::new(&format!("/{namespace}/{pod}/{}", identity.name)))
            }
            (true, ..) => false,
        }
    }
}

impl fmt::Display for NamePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Runtime;
    use super::*;

    fn container(name: &str, pod: Option<(&str, &str)>) -> ContainerIdentity {
        ContainerIdentity {
            name: name.to_owned(),
            namespace: pod.map(|(namespace, _)| namespace.to_owned()),
            pod: pod.map(|(_, pod)| pod.to_owned()),
            ..ContainerIdentity::unresolved("id", Runtime::Containerd)
        }
    }

    #[test]
    fn names_and_pods() {
        let matches = |pattern: &str, name: &str, pod: Option<(&str, &str)>| {
            NamePattern::parse(pattern).unwrap().matches(&container(name, pod))
        };
        let pod = Some(("logging", "vector-x7k2p"));
        assert!(matches("vector", "vector", None) && matches("vector", "vector", pod));
        assert!(matches("vec*", "vector", pod) && !matches("vec", "vector", pod));
        assert!(matches("logging/*/*", "vector", pod) && matches("logging/vector-*/vector", "vector", pod));
        assert!(!matches("logging/*/*", "vector", None) && !matches("default/*/*", "vector", pod));
        assert!(!matches("*", "a/b", None), "a star stands for one name");
    }

    #[test]
    fn what_is_none() {
        for text in ["", "/", "a/b", "a/b/c/d", "a//b", "/a/b", "**", "a/../b", "a\0", "[a"] {
            assert!(NamePattern::parse(text).is_err(), "{text}");
        }
    }
}
