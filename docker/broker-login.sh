#!/bin/sh
# Makes the login between mqttchat and its broker, once, in the volume that both read. Run as root by the
# service `login` of docker-compose.yml, in the image of the broker.
#
#   password        the password, for your own MQTT clients: docker compose exec broker cat /mosquitto/login/password
#   passwords       the same, hashed, for Mosquitto
#   mqttchat.toml   the same, as mqttchat's configuration file
set -eu
umask 077

login=${LOGIN_DIR:-/mosquitto/login}
broker_user=${BROKER_USER:-1883}
app_user=${APP_USER:-10001}

if [ ! -s "$login/password" ]; then
    head -c 24 /dev/urandom | od -An -tx1 | tr -d ' \n' > "$login/password.new"
    mv "$login/password.new" "$login/password"
fi
password=$(cat "$login/password")

rm -f "$login/passwords"
mosquitto_passwd -b -c "$login/passwords" mqttchat "$password"
printf 'broker = "mqtt://mqttchat:%s@broker:1883"\n' "$password" > "$login/mqttchat.toml"

chown "$broker_user:$broker_user" "$login/password" "$login/passwords"
chown "$app_user:$app_user" "$login/mqttchat.toml"
# Each user finds its own files here and can read no other.
chmod 0711 "$login"
