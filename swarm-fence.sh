#!/bin/sh
# Keeps pages from everybody but operators: Kibana's, which asks nobody for a password, and RabbitMQ's. By IPv6, nobody gets in.
# usage: swarm-fence.sh NETWORK   (of the operators; on each machine, whenever its Docker has started)
set -eu
# Puts a rule first, unless it is there.
rule() {
    program=$1 chain=$2
    shift 2
    "$program" -w -C "$chain" "$@" 2> /dev/null || "$program" -w -I "$chain" "$@"
}
for port in 5601 15672; do
    # Docker has given it another port by then.
    rule iptables DOCKER-USER -p tcp -m conntrack --ctstate NEW --ctorigdstport $port ! -s "$1" -j DROP
    [ ! -e /proc/net/if_inet6 ] || rule ip6tables INPUT -p tcp --dport $port -j DROP
done
