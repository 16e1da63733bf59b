# Makes the virtual environment that builds install into: distributions refuse `pip install` outside of one (PEP 668).
# $1 is a module that is loaded at every start of its interpreter.
set -eu
python3 -m venv /opt/venv
for packages in /opt/venv/lib/python3*/site-packages; do
  printf '%s' "$1" >"$packages/_pip_user.py"
  echo 'import _pip_user' >"$packages/_pip_user.pth"
done
