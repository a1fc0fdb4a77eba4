# Install Chromium for the tests of the studio, where it is not there and this is root on Debian or a kin of it.
for name in chromium chromium-browser google-chrome; do
    command -v $name >/dev/null 2>&1 && exit 0
done
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium && exit 0
fi
echo "no Chromium here, so the tests of the studio's page are skipped (in CI they fail); as root: apt-get install chromium" >&2
