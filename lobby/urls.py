from django.conf import settings
from django.contrib import admin
from django.contrib.auth.views import LoginView
from django.urls import path
from django.views.generic import RedirectView

from . import views

urlpatterns = [
    path("", views.UserList.as_view(), name="list"),
    path("sign_up/", views.SignUp.as_view(), name="sign_up"),
    path("log_in/", LoginView.as_view(redirect_authenticated_user=True), name="log_in"),
    path("log_out/", views.LogOut.as_view(), name="log_out"),
    path("password/", views.ChangePassword.as_view(), name="change_password"),
    path("visibility/", views.SwitchVisibility.as_view(), name="visibility"),
    path("admin/", admin.site.urls),
    # Where browsers look on pages that name no icon, as those of the admin.
    path("favicon.ico", RedirectView.as_view(url=f"{settings.STATIC_URL}lobby/favicon.svg")),
]
