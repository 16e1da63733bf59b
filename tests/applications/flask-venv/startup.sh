source venv/bin/activate
if [[ -n $PORT ]]; then
  exec gunicorn --bind "0.0.0.0:$PORT" app:app
fi
