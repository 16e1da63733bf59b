from django.contrib.auth.models import User
from django.http import HttpResponse
from django.urls import path


def shelf(request):
    return HttpResponse(f"shelf of {User.objects.count()} by django\n")


urlpatterns = [path("", shelf)]
