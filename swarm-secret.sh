#!/bin/sh
# Gives a service of the stack another secret in the place of the one that it reads, and waits until it runs with it, or has run.
# usage: swarm-secret.sh SERVICE FILE SECRET [,uid=…,gid=…,mode=…]
set -eu
service=$1 file=$2 secret=$3
name="{{if eq .File.Name \"$file\"}}{{.SecretName}}{{end}}"
now=$(docker service inspect --format "{{range .Spec.TaskTemplate.ContainerSpec.Secrets}}$name{{end}}" "$service")
[ "$now" != "$secret" ] || exit 0
newest() { docker service ps --no-trunc --format '{{.ID}} {{.CurrentState}}' "$service" | head -n 1; }
before=$(newest)
ends=$(docker service inspect --format '{{eq .Spec.TaskTemplate.RestartPolicy.Condition "on-failure"}}' "$service")
# What ends never comes to run, which Docker would wait for.
docker service update --quiet --detach="$ends" --secret-rm "$now" --secret-add "source=$secret,target=$file${4:-}" "$service"
while [ "$ends" = true ]; do
    case $(newest) in
    "${before%% *} "*) ;;
    *' Complete'*) exit 0 ;;
    esac
    sleep 1
done
# To have gone back to the old one is no failure to Docker, and it may say that it is done a moment before it is.
state() { docker service inspect --format '{{with .UpdateStatus}}{{.State}}{{end}}' "$service"; }
while [ "$(state)" = updating ]; do sleep 1; done
case $(state) in completed | '') ;; *) echo "$service: $(state)" >&2 && exit 1 ;; esac
