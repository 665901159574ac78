#!/bin/sh
# dropping PORT: prints the chains for incoming packets that end in a drop and have no rule that
# admits anything for Docker's bridges, its address pools or the port. Those of ufw and firewalld
# are left out; they are handled separately.

dropping() {
  ufw=$(timeout -k 5 60 ufw status 2>/dev/null | grep -c "^Status: active")
  nft list ruleset 2>/dev/null | awk -v port="$1" -v ufw="$ufw" '
    function lets_in(rule) {
      return rule ~ / accept$/ && (rule ~ "dport.*[^0-9]" port "([^0-9]|$)" \
        || rule ~ /"(docker|br-)/ || rule ~ /saddr.*(172\.|192\.168\.)/)
    }
    function visit(name,  number, words) {
      if (name in seen) return 0
      seen[name] = 1
      for (number = 1; number <= count[name]; number++) {
        if (lets_in(rules[name, number])) return 1
        if (match(rules[name, number], /(jump|goto) [^ ]+$/)) {
          split(substr(rules[name, number], RSTART), words, " ")
          if (visit(tables[name] SUBSEP words[2])) return 1
        }
      }
      return 0
    }
    $1 == "table" {table = $2 " " $3; next}
    $1 == "chain" {
      name = table SUBSEP $2; tables[name] = table; chains[name] = $2; order[++all] = name; next
    }
    $1 == "type" {hooked[name] = / hook input /; dropped[name] = /policy drop/; next}
    $1 == "}" || name == "" {name = ""; next}
    {sub(/^[ \t]+/, ""); rules[name, ++count[name]] = $0}
    END {
      for (number = 1; number <= all; number++) {
        name = order[number]
        last = rules[name, count[name]]; sub(/^counter( packets [0-9]+ bytes [0-9]+)? /, "", last)
        ends = dropped[name] || last ~ /^(drop|reject.*)$/
        theirs = tables[name] == "inet firewalld" \
          || (ufw && tables[name] ~ /^ip6? filter$/ && chains[name] == "INPUT")
        split("", seen)
        if (hooked[name] && ends && !theirs && !visit(name))
          print "table " tables[name] ", chain " chains[name]
      }
    }'
  iptables-legacy -S INPUT 2>/dev/null | awk -v port="$1" -v ufw="$ufw" '
    $1 == "-P" {dropped = $3 == "DROP"}
    {last = $0}
    / -j ACCEPT$/ && ($0 ~ "--dport " port "( |$)" || /-i (docker|br-)/ || /-s (172|192\.168)\./) {
      let_in = 1
    }
    END {
      if (!ufw && !let_in && (dropped || last ~ /^-A INPUT -j (DROP|REJECT)/))
        print "table of iptables-legacy, chain INPUT"
    }'
}
