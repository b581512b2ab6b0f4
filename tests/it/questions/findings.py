"""What the questions find in the demo's lake, row by row, and what they find when its traffic is changed.

The traffic is told in tests/demo/README.md. A row is a line, a time is that of 2026-11-23, nothing is a dash, `_` is a space."""


def lines(text):
    return text.strip().splitlines()


EXPECTED = {
    # The one interface that was silent for a minute.
    "blind_spots": lines("flowlake_vpc 123456789012 eni-06f2d8b4a0c7e9135 NODATA 1 12:09:00 12:09:59"),
    # The scan to the cloud tried port 22; it did not try 3389.
    "rejected_ssh_rdp": lines("flowlake_vpc 10.20.1.10 10.40.2.20 22 6 1 1 12:09:33 12:09:33"),
    # 152 ports with 150 rejected, and 60.
    "port_scan": lines("""
10.20.1.10 10.40.2.20 - 1 152 1 8080 150 12:09:32 12:09:39
198.51.100.77 10.20.1.10 - 1 60 21 80 0 12:08:02 12:08:02"""),
    # 40 logins.
    "brute_force": lines("198.51.100.77 10.20.1.10 22 12:00:00 40 156884 12:08:32 12:08:40"),
    # 25 MB over IPv4, 1 MB over IPv6. (The scan had opened port 443 before.)
    "unusual_upload": lines("""
10.20.1.10 10.40.2.20 443 6 25943596 74283 0 12:09:39 12:11:07
2001:db8:20:1::10 2001:db8:40:2::20 443 6 1052640 11392 0 12:11:07 12:11:09"""),
    # The backup server's half conversation.
    "asymmetric_routes": lines("flowlake_agent eni-f0000000000000060 10.30.5.15 51544 10.20.1.60 873 152 30080 12:08:05 12:10:36"),
    # What the security group dropped of the scan.
    "firewall_suspects": lines(
        "the_other_side_rejects 10.20.1.10 10.40.2.20 6 flowlake_agent flowlake_vpc eni-0b7e4c2d9f1a83650"
        " 150 1 150 150 12:09:32 12:09:39"
    ),
    # All that crosses the VPN: 152 connections of the scan, 28 fetches, 14 health checks, an upload, pings in two bursts; IPv6 likewise.
    "vpn_both_ends": lines("""
matched 10.20.1.10 10.40.2.20 - - - 197 26911949 26911949 12:07:22 12:11:54
matched 2001:db8:20:1::10 2001:db8:40:2::20 - - - 31 2112450 2112450 12:07:27 12:11:59"""),
    "top_talkers": lines("""
10.20.1.10 29069736 339430 4
10.40.2.20 114372 26797577 1
2001:db8:20:1::10 3880342 118948 5
10.20.1.50 56588 2122380 1
2001:db8:40:2::20 55921 2056529 1
2001:db8:20:1::50 63027 1823669 2
198.51.100.77 160784 143637 1
10.20.1.60 5680 35760 1
10.30.5.15 35760 5680 1
10.20.1.53 7686 6142 1"""),
    # No port of a scan but SSH, whose server greets; no refused 8443.
    "who_talks_to_whom": lines("""
10.20.1.10 10.40.2.20 6 443 1 25943392 74169 12:10:17 12:11:07
10.20.1.50 10.20.1.10 6 80 36 54908 2120840 12:07:22 12:12:00
2001:db8:20:1::50 2001:db8:20:1::10 6 80 34 61395 1822037 12:07:30 12:11:52
2001:db8:20:1::10 2001:db8:40:2::20 6 443 1 1052640 11392 12:11:07 12:11:09
2001:db8:40:2::20 2001:db8:20:1::10 6 80 28 43593 1002953 12:07:27 12:11:59
10.40.2.20 10.20.1.10 6 80 28 32329 838109 12:07:22 12:11:54
198.51.100.77 10.20.1.10 6 22 41 157088 141205 12:08:02 12:08:40
10.30.5.15 10.20.1.60 6 873 1 30080 0 12:08:05 12:10:36
10.20.1.10 10.20.1.53 17 53 53 6142 7686 12:07:22 12:11:56
10.20.1.10 10.40.2.20 6 8080 14 5900 6892 12:07:22 12:11:42
10.30.5.15 10.20.1.60 6 443 1 5680 5680 12:08:59 12:09:01
2001:db8:20:1::10 2001:db8:20:1::50 58 0 1 1632 1560 12:07:30 12:11:46
10.20.1.10 10.20.1.50 1 0 1 1260 1260 12:07:34 12:11:42
2001:db8:20:1::10 2001:db8:40:2::20 58 0 1 936 936 12:07:44 12:11:50
10.20.1.10 10.40.2.20 1 0 1 756 756 12:07:42 12:11:48
fe80::ff:fe00:10 fe80::ff:fe00:101 58 0 1 136 136 12:07:32 12:07:37
fe80::ff:fe00:50 ff02::1:ff00:1 58 0 1 216 0 12:08:50 12:11:46
2001:db8:20:1::1 2001:db8:20:1::10 58 0 1 72 0 12:07:27 12:07:27
2001:db8:20:1::10 fe80::ff:fe00:101 58 0 1 72 0 12:07:27 12:07:27
2001:db8:20:1::10 ff02::1:ff00:1 58 0 1 72 0 12:07:27 12:07:27
2001:db8:20:1::50 ff02::1:ff00:10 58 0 1 72 0 12:07:30 12:07:30
fe80::ff:fe00:101 ff02::1:ff00:10 58 0 1 72 0 12:07:27 12:07:27"""),
}

UPLOAD = "56826 IN (source_port, destination_port)"
TO_CLOUD, TO_CLOUD_6 = EXPECTED["vpn_both_ends"]

# What is changed, whom it is asked, how, and what is found then.
CHANGES = [
    ("NODATA taken away", "blind_spots", "DELETE FROM flow WHERE status = 'NODATA'", []),
    (
        "records lost",
        "blind_spots",
        "UPDATE flow SET status = 'SKIPDATA' WHERE status = 'NODATA'",
        lines("flowlake_vpc 123456789012 eni-06f2d8b4a0c7e9135 SKIPDATA 1 12:09:00 12:09:59"),
    ),
    ("accepted", "rejected_ssh_rdp", "UPDATE flow SET action = 'Allowed' WHERE destination_port = 22", []),
    (
        "RDP",
        "rejected_ssh_rdp",
        "UPDATE flow SET destination_port = 3389 WHERE action = 'Denied' AND destination_port IN (23, 24)",
        lines("""
flowlake_vpc 10.20.1.10 10.40.2.20 3389 6 2 2 12:09:33 12:09:33
flowlake_vpc 10.20.1.10 10.40.2.20 22 6 1 1 12:09:33 12:09:33"""),
    ),
    (
        "the scan from the internet taken away",
        "port_scan",
        "DELETE FROM flow WHERE '198.51.100.77' IN (source, destination)",
        EXPECTED["port_scan"][:1],
    ),
    ("only the first 19 ports", "port_scan", "DELETE FROM flow WHERE destination_port > 19", []),
    # The default format has none.
    ("without flags", "port_scan", "UPDATE flow SET tcp_flags = NULL", EXPECTED["port_scan"]),
    (
        "one port of many hosts",
        "port_scan",
        """DELETE FROM flow WHERE sensor = 'flowlake_vpc';
        UPDATE flow SET destination = '10.20.9.' || destination_port, destination_port = 22 WHERE source = '198.51.100.77'""",
        # Port 22 was knocked at once, and then logged in to.
        lines("""
10.20.1.10 10.40.2.20 - 1 152 1 8080 0 12:09:32 12:09:39
198.51.100.77 - 22 60 1 22 22 0 12:08:02 12:08:02"""),
    ),
    (
        "conversations that went on",
        "port_scan",
        """INSERT INTO flow SELECT * REPLACE (start + INTERVAL 1 MINUTE AS start, "end" + INTERVAL 1 MINUTE AS "end", 200 AS packets,
          0 AS tcp_flags) FROM flow WHERE source = '198.51.100.77'""",
        EXPECTED["port_scan"][:1],
    ),
    (
        "SYNs that nobody answers",
        "brute_force",
        "UPDATE flow SET tcp_flags = 2, bytes = 60 * packets WHERE destination_port = 22; DELETE FROM flow WHERE source_port = 22",
        [],
    ),
    ("without flags", "brute_force", "UPDATE flow SET tcp_flags = NULL", EXPECTED["brute_force"]),
    (
        "SYNs that nobody answers, without flags",
        "brute_force",
        """UPDATE flow SET tcp_flags = NULL, bytes = 60 * packets WHERE destination_port = 22;
        DELETE FROM flow WHERE source_port = 22""",
        [],
    ),
    # FTP, Telnet, LDAP, MySQL and PostgreSQL have as small packets.
    (
        "small packets, without flags",
        "brute_force",
        "UPDATE flow SET tcp_flags = NULL, bytes = 60 * packets WHERE destination_port = 22",
        ["198.51.100.77 10.20.1.10 22 12:00:00 40 38580 12:08:32 12:08:40"],
    ),
    (
        "SYNs whose answers are lost, without flags",
        "brute_force",
        "UPDATE flow SET tcp_flags = NULL, bytes = 60 * packets WHERE 22 IN (source_port, destination_port)",
        [],
    ),
    (
        "the server ends it",
        "brute_force",
        """UPDATE flow SET tcp_flags = 2, bytes = 60 * packets WHERE destination_port = 22;
        UPDATE flow SET tcp_flags = 19 WHERE source_port = 22""",
        ["198.51.100.77 10.20.1.10 22 12:00:00 40 38580 12:08:32 12:08:40"],
    ),
    # From one port every ten seconds, all day, since the day before: what is rejected stands.
    (
        "rejected since the day before",
        "firewall_suspects",
        """DELETE FROM flow; INSERT INTO flow BY NAME SELECT 'flowlake_agent' AS sensor, 'eni-1' AS interface, 17 AS protocol,
          '10.20.1.10' AS source, 514 AS source_port, '10.40.2.20' AS destination, 514 AS destination_port, 1 AS packets,
          'Allowed' AS action, CAST(tick AS date) AS day, tick AS start, tick AS "end"
          FROM (SELECT unnest(generate_series(TIMESTAMP '2026-11-22 12:00:00', TIMESTAMP '2026-11-24 12:00:00', INTERVAL 10 SECOND)) AS tick);
        INSERT INTO flow SELECT * REPLACE ('Denied' AS action, 'flowlake_vpc' AS sensor, 'eni-2' AS interface) FROM flow""",
        ["the_other_side_rejects 10.20.1.10 10.40.2.20 17 flowlake_agent flowlake_vpc eni-2 1 514 514 8640 00:00:00 23:59:50"],
    ),
    (
        "a late FIN over the edge of the day",
        "firewall_suspects",
        """DELETE FROM flow; INSERT INTO flow BY NAME SELECT 'flowlake_vpc' AS sensor, 'eni-1' AS interface, 6 AS protocol, '10.20.1.10' AS source,
          50000 AS source_port, '10.40.2.20' AS destination, 443 AS destination_port, 5 AS packets, 'Allowed' AS action,
          DATE '2026-11-22' AS day, TIMESTAMP '2026-11-22 23:59:42' AS start, TIMESTAMP '2026-11-22 23:59:50' AS "end";
        INSERT INTO flow SELECT * REPLACE ('Denied' AS action, 1 AS packets, DATE '2026-11-23' AS day, TIMESTAMP '2026-11-23 00:00:20' AS start,
          TIMESTAMP '2026-11-23 00:00:20' AS "end") FROM flow;
        INSERT INTO flow SELECT * REPLACE ('flowlake_agent' AS sensor, 'eni-2' AS interface) FROM flow WHERE action = 'Allowed'""",
        [],
    ),
    ("nobody judged", "firewall_suspects", "UPDATE flow SET action = 'Unknown' WHERE sensor = 'flowlake_agent'", []),
    # One source has many hosts: each sees its half.
    (
        "the other half at another host",
        "asymmetric_routes",
        """INSERT INTO flow SELECT * REPLACE (source AS destination, destination AS source, source_port AS destination_port,
          destination_port AS source_port, 'eni-other' AS interface, NULL AS instance) FROM flow WHERE source_port = 51544""",
        [*EXPECTED["asymmetric_routes"], "flowlake_agent eni-other 10.20.1.60 873 10.30.5.15 51544 152 30080 12:08:05 12:10:36"],
    ),
    ("logins taken away", "brute_force", "DELETE FROM flow WHERE source = '198.51.100.77' AND destination_port = 22", []),
    (
        "the same ports an hour later",
        "brute_force",
        """INSERT INTO flow SELECT * REPLACE (start + INTERVAL 1 HOUR AS start, "end" + INTERVAL 1 HOUR AS "end") FROM flow
        WHERE source = '198.51.100.77'""",
        [*EXPECTED["brute_force"], "198.51.100.77 10.20.1.10 22 13:00:00 40 156884 13:08:32 13:08:40"],
    ),
    (
        "idle for hours",
        "brute_force",
        """INSERT INTO flow SELECT * EXCLUDE (later) REPLACE (start + to_minutes(10 * later::INT) AS start,
          "end" + to_minutes(10 * later::INT) AS "end") FROM flow, range(1, 30) AS minutes(later) WHERE source = '198.51.100.77'""",
        [],
    ),
    (
        "logins over the edge of an hour",
        "brute_force",
        """UPDATE flow SET start = start + INTERVAL 51 MINUTE, "end" = "end" + INTERVAL 51 MINUTE;
        UPDATE flow SET packets = packets // 2, bytes = bytes // 2 WHERE source = '198.51.100.77';
        INSERT INTO flow SELECT * REPLACE (start + INTERVAL 1 MINUTE AS start, "end" + INTERVAL 1 MINUTE AS "end") FROM flow
        WHERE source = '198.51.100.77'""",
        ["198.51.100.77 10.20.1.10 22 12:00:00 40 156844 12:59:32 13:00:40"],
    ),
    (
        "conversations over the edge of an hour",
        "port_scan",
        """UPDATE flow SET start = start + INTERVAL 51 MINUTE, "end" = "end" + INTERVAL 51 MINUTE WHERE source = '198.51.100.77';
        INSERT INTO flow SELECT * REPLACE (start + INTERVAL 1 MINUTE AS start, "end" + INTERVAL 1 MINUTE AS "end", 200 AS packets,
          0 AS tcp_flags) FROM flow WHERE source = '198.51.100.77'""",
        EXPECTED["port_scan"][:1],
    ),
    (
        "knocks from one port, every hour",
        "port_scan",
        """DELETE FROM flow WHERE sensor = 'flowlake_vpc' OR source <> '198.51.100.77';
        UPDATE flow SET source_port = 61000, packets = 1, tcp_flags = 2, bytes = 60;
        INSERT INTO flow SELECT * EXCLUDE (later) REPLACE (start + to_hours(later::INT) AS start, "end" + to_hours(later::INT) AS "end")
        FROM flow, range(1, 12) AS hours(later)""",
        # Port 22 was logged in to.
        ["198.51.100.77 10.20.1.10 - 1 59 21 80 0 12:08:02 23:08:02"],
    ),
    ("somebody works", "brute_force", "UPDATE flow SET bytes = bytes * 10", []),
    ("a login in ten minutes", "brute_force", "DELETE FROM flow WHERE destination_port = 22 AND source_port % 4 <> 0", []),
    ("upload taken away", "unusual_upload", f"DELETE FROM flow WHERE {UPLOAD}", EXPECTED["unusual_upload"][1:]),
    (
        "every day the same",
        "unusual_upload",
        """INSERT INTO flow SELECT * EXCLUDE (earlier) REPLACE (start - to_days(earlier::INT) AS start, "end" - to_days(earlier::INT) AS "end",
          day - earlier::INT AS day) FROM flow, range(1, 3) AS days(earlier)""",
        [],
    ),
    ("much came back", "unusual_upload", "UPDATE flow SET bytes = bytes * 1000 WHERE source_port = 443", []),
    ("half conversation taken away", "asymmetric_routes", "DELETE FROM flow WHERE source_port = 51544", []),
    ("no TCP", "asymmetric_routes", "UPDATE flow SET protocol = 17 WHERE source_port = 51544", []),
    ("a rejected answer", "asymmetric_routes", "UPDATE flow SET action = 'Denied' WHERE source_port = 51544", []),
    (
        "another answer taken away",
        "asymmetric_routes",
        "DELETE FROM flow WHERE destination_port = 51546",
        [*EXPECTED["asymmetric_routes"], "flowlake_agent eni-f0000000000000060 10.30.5.15 51546 10.20.1.60 443 30 5680 12:08:59 12:09:01"],
    ),
    # The answer of an earlier conversation over the same ports does not hide it.
    (
        "an answer an hour before",
        "asymmetric_routes",
        """INSERT INTO flow SELECT * REPLACE (source AS destination, destination AS source, source_port AS destination_port,
          destination_port AS source_port, start - INTERVAL 1 HOUR AS start, "end" - INTERVAL 1 HOUR AS "end", 3 AS packets)
        FROM flow WHERE source_port = 51544""",
        EXPECTED["asymmetric_routes"],
    ),
    ("rejected by nobody", "firewall_suspects", "DELETE FROM flow WHERE action = 'Denied'", []),
    ("late packets of accepted flows", "firewall_suspects",
     "INSERT INTO flow SELECT * REPLACE ('Denied' AS action) FROM flow WHERE sensor = 'flowlake_vpc' AND action = 'Allowed'",
     EXPECTED["firewall_suspects"]),
    (
        "a network ACL rejects what the instance answers",
        "firewall_suspects",
        f"""DELETE FROM flow WHERE {UPLOAD} AND source_port = 443 AND sensor = 'flowlake_agent';
        UPDATE flow SET action = 'Denied' WHERE {UPLOAD} AND source_port = 443""",
        lines("the_answer_is_rejected 10.20.1.10 10.40.2.20 6 flowlake_vpc flowlake_vpc eni-0b7e4c2d9f1a83650"
              " 1 443 443 1426 12:10:17 12:11:07") + EXPECTED["firewall_suspects"],
    ),
    (
        "lost on the way",
        "vpn_both_ends",
        f"DELETE FROM flow WHERE {UPLOAD} AND sensor = 'flowlake_vpc'",
        lines("""
matched 10.20.1.10 10.40.2.20 - - - 196 894388 894388 12:07:22 12:11:54
matched 2001:db8:20:1::10 2001:db8:40:2::20 - - - 31 2112450 2112450 12:07:27 12:11:59
only_on_premises 10.20.1.10 10.40.2.20 6 56826 443 1 26017561 - 12:10:17 12:11:07"""),
    ),
    (
        "lost on the other way",
        "vpn_both_ends",
        f"DELETE FROM flow WHERE {UPLOAD} AND sensor = 'flowlake_agent'",
        lines("""
matched 10.20.1.10 10.40.2.20 - - - 196 894388 894388 12:07:22 12:11:54
matched 2001:db8:20:1::10 2001:db8:40:2::20 - - - 31 2112450 2112450 12:07:27 12:11:59
only_in_the_cloud 10.20.1.10 10.40.2.20 6 56826 443 1 - 26017561 12:10:17 12:11:07"""),
    ),
    (
        "a tenth lost",
        "vpn_both_ends",
        f"UPDATE flow SET bytes = bytes * 9 // 10 WHERE {UPLOAD} AND sensor = 'flowlake_vpc'",
        lines("""
bytes_differ 10.20.1.10 10.40.2.20 6 56826 443 1 26017561 23415804 12:10:17 12:11:07
matched 10.20.1.10 10.40.2.20 - - - 196 894388 894388 12:07:22 12:11:54
matched 2001:db8:20:1::10 2001:db8:40:2::20 - - - 31 2112450 2112450 12:07:27 12:11:59"""),
    ),
    (
        "headers hidden by segmentation offload",
        "vpn_both_ends",
        f"UPDATE flow SET bytes = bytes * 97 // 100 WHERE {UPLOAD} AND sensor = 'flowlake_vpc'",
        [TO_CLOUD.replace("26911949 12", "26131420 12"), TO_CLOUD_6],
    ),
    # A clock that is wrong, or windows that lie otherwise. (Bursts of pings come together to one conversation.)
    (
        "a minute later in the cloud",
        "vpn_both_ends",
        """UPDATE flow SET start = start + INTERVAL 1 MINUTE, "end" = "end" + INTERVAL 1 MINUTE WHERE sensor = 'flowlake_vpc'""",
        [TO_CLOUD.replace("12:11:54", "12:12:54").replace("197", "196"), TO_CLOUD_6.replace("12:11:59", "12:12:59").replace("31", "30")],
    ),
    (
        "the same ports an hour later",
        "vpn_both_ends",
        """INSERT INTO flow SELECT * REPLACE (start + INTERVAL 1 HOUR AS start, "end" + INTERVAL 1 HOUR AS "end") FROM flow
        WHERE sensor = 'flowlake_vpc' AND source_port = 58626""",
        [TO_CLOUD, TO_CLOUD_6, "only_in_the_cloud 10.20.1.10 10.40.2.20 6 80 58626 1 - 404 13:07:22 13:07:22"],
    ),
    # What begins before midnight counts, with its rows behind it; what was under way when the period began does not.
    (
        "over midnight",
        "vpn_both_ends",
        """UPDATE flow SET start = start + INTERVAL 709 MINUTE, "end" = "end" + INTERVAL 709 MINUTE;
        UPDATE flow SET day = start::DATE""",
        lines("""
matched 10.20.1.10 10.40.2.20 - - - 187 26729747 26729747 23:56:22 00:00:07
matched 2001:db8:20:1::10 2001:db8:40:2::20 - - - 23 869208 869208 23:56:27 23:59:58"""),
    ),
    (
        "under way at midnight",
        "vpn_both_ends",
        """UPDATE flow SET start = start - INTERVAL 730 MINUTE, "end" = "end" - INTERVAL 730 MINUTE;
        UPDATE flow SET day = start::DATE""",
        lines("""
matched 10.20.1.10 10.40.2.20 - - - 20 26376211 26376211 00:00:02 00:01:54
matched 2001:db8:20:1::10 2001:db8:40:2::20 - - - 14 1549128 1549128 00:00:08 00:01:59"""),
    ),
    ("not over the VPN", "vpn_both_ends", "DELETE FROM flow WHERE destination LIKE '%40%' OR source LIKE '%40%'", []),
]

# Questions whose totals stay when a second sensor or interface sees the same.
TOTALS = ["brute_force", "port_scan", "top_talkers", "unusual_upload", "vpn_both_ends", "who_talks_to_whom"]
