#!/bin/sh
# Makes the logins between mqttchat, its broker and its database, once, in the volume that they read. Run as root by
# the service `login` of docker-compose.yml, in the image of the broker.
#
#   password            the broker's password, for your own MQTT clients:
#                       docker compose exec broker cat /mosquitto/login/password
#   passwords           the same, hashed, for Mosquitto
#   database-password   for PostgreSQL, where there is one (WITH_DATABASE=yes)
#   mqttchat.toml       the same logins, as mqttchat's configuration file
set -eu
umask 077

login=${LOGIN_DIR:-/mosquitto/login}
broker_user=${BROKER_USER:-1883}
database_user=${DATABASE_USER:-999}
app_user=${APP_USER:-10001}

# Whatever is there stays: the broker and the database know it by now.
make_password() {
    [ -s "$1" ] && return
    head -c 24 /dev/urandom | od -An -tx1 | tr -d ' \n' > "$1.new"
    mv "$1.new" "$1"
}

make_password "$login/password"
rm -f "$login/passwords"
mosquitto_passwd -b -c "$login/passwords" mqttchat "$(cat "$login/password")"
chown "$broker_user:$broker_user" "$login/password" "$login/passwords"

printf 'broker = "mqtt://mqttchat:%s@broker:1883"\n' "$(cat "$login/password")" > "$login/mqttchat.toml"
if [ "${WITH_DATABASE:-no}" = yes ]; then
    make_password "$login/database-password"
    chown "$database_user:$database_user" "$login/database-password"
    printf 'database = "postgres://mqttchat:%s@database:5432/mqttchat"\n' "$(cat "$login/database-password")" \
        >> "$login/mqttchat.toml"
fi
chown "$app_user:$app_user" "$login/mqttchat.toml"

# Each user finds its own files here and can read no other.
chmod 0711 "$login"
