#!/bin/sh
# Keeps pages from everybody but operators: Kibana's, which asks nobody for a password, and RabbitMQ's. By IPv6, nobody gets in.
# usage: swarm-fence.sh NETWORK   (of the operators, as 192.0.2.0/24; on each machine, whenever its Docker has started)
set -eu
operators=${1:?which network are operators in, as 192.0.2.0/24?}
# A chain of its own: what was in there before is gone at the same moment.
{
    echo '*filter'
    echo ':PENSTOCK - [0:0]'
    for port in 5601 15672; do
        # Docker has given it another port by then.
        echo "-A PENSTOCK -p tcp -m conntrack --ctstate NEW --ctorigdstport $port ! -s $operators -j DROP"
    done
    echo COMMIT
} | iptables-restore --wait --noflush
iptables --wait -C DOCKER-USER -j PENSTOCK 2> /dev/null || iptables --wait -I DOCKER-USER -j PENSTOCK
[ -e /proc/net/if_inet6 ] || exit 0
for port in 5601 15672; do
    ip6tables --wait -C INPUT -p tcp --dport $port -j DROP 2> /dev/null || ip6tables --wait -I INPUT -p tcp --dport $port -j DROP
done
