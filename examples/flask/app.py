"""A Flask application served by gunicorn."""

from flask import Flask, jsonify

app = Flask(__name__)


@app.get("/")
def hello():
    return "Hello from Flask\n"


@app.get("/health")
def health():
    return jsonify(status="ok")
