use super::*;

fn rules() -> Rules {
    Rules {
        name: "towpath-0123456789ab".into(),
        interface: "br-0".into(),
        nameservers: vec![Ipv4Addr::new(169, 254, 169, 253)],
        ports: vec![443],
        reach: vec![],
        apart: None,
        machine: vec![],
    }
}

#[test]
fn neighbours_on_a_bridge_of_podman_are_kept_apart_by_a_table_of_their_own() {
    assert!(!rules().nftables().contains("table bridge"));
    let apart = Rules { apart: Some(Subnet::new(Ipv4Addr::new(10, 201, 0, 0), 16)), ..rules() };
    let text = apart.nftables();
    assert!(text.contains("\ndelete table bridge towpath-0123456789ab\ntable bridge"), "{text}");
    let forward = text.split("chain forward").nth(1).unwrap();
    assert!(
        forward.find("oifname \"br-0\" drop").unwrap() < forward.find("iifname != \"br-0\" accept").unwrap(),
        "{text}"
    );
    assert!(text.contains("    ip saddr 10.201.0.0/16 ip daddr 10.201.0.0/16 drop\n"), "{text}");
    assert!(text.contains("    ip daddr 10.201.0.0/16 oifname != { \"br-0\", \"lo\" } reject\n  }\n}\n"), "{text}");
}

#[test]
fn the_table_drops_what_comes_from_the_bridge_but_answers_names_and_the_ingress() {
    let text = rules().nftables();
    let input = text.split("chain input").nth(1).unwrap().split("chain forward").next().unwrap();
    let order = [
        "!= \"br-0\" accept",
        "established,related accept",
        "169.254.169.253 udp dport 53 accept",
        "tcp dport 443 accept",
        "  drop",
    ];
    let places: Vec<usize> =
        order.iter().map(|part| input.find(part).unwrap_or_else(|| panic!("{part}: {input}"))).collect();
    assert!(places.is_sorted(), "{input}");
    let forward = text.split("chain forward").nth(1).unwrap();
    assert!(!forward.contains("443"), "{forward}");
    assert!(forward.find("dport 53").unwrap() < forward.find("169.254.0.0/16").unwrap(), "{forward}");
    assert!(text.starts_with("add table inet towpath-0123456789ab\ndelete table inet towpath-0123456789ab\ntable"));
}

#[test]
fn chains_of_iptables_say_the_same_and_have_names_that_fit() {
    let rules = rules();
    assert!(rules.input().len() <= 28 && rules.forward().len() <= 28);
    let (input, forward) = (rules.iptables(&rules.input()), rules.iptables(&rules.forward()));
    assert!(input.ends_with("--dport 443 -j RETURN\n-A towpath-0123456789ab-in -j DROP\nCOMMIT\n"), "{input}");
    assert!(forward.contains("-fw -o br-0 -j DROP\n") && forward.contains("-d 169.254.0.0/16 -j DROP\n"), "{forward}");
}

#[test]
fn name_servers_are_read_without_loopback_and_nonsense() {
    let text = "# c\nnameserver 10.0.0.2\nnameserver 127.0.0.53\nnameserver ::1\nnameserver x\noptions ndots:5\n";
    assert_eq!(parse_nameservers(text), [Ipv4Addr::new(10, 0, 0, 2)]);
}

#[test]
fn a_machine_that_connects_for_its_containers_is_closed_to_them_but_for_the_ingress() {
    let text = Rules { machine: vec!["192.0.2.2".into(), "10.250.0.0/24".into()], ..rules() }.nftables();
    let forward = text.split("chain forward").nth(1).unwrap();
    let order = [
        "169.254.169.253 tcp dport 53 accept",
        "ip daddr 192.0.2.2 tcp dport 443 accept",
        "ip daddr 192.0.2.2 drop",
        "ip daddr 10.250.0.0/24 drop",
        "oifname \"br-0\" drop",
    ];
    let places: Vec<usize> =
        order.iter().map(|part| forward.find(part).unwrap_or_else(|| panic!("{part}: {forward}"))).collect();
    assert!(places.is_sorted() && !forward.contains("10.250.0.0/24 tcp"), "{forward}");
}
