"""The lobby's pages: Django's own views for accounts, and the list of all users."""

from __future__ import annotations

from typing import Any

from django.contrib.auth import login
from django.contrib.auth.mixins import LoginRequiredMixin
from django.contrib.auth.views import LogoutView
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse_lazy
from django.views.generic import CreateView, TemplateView

from whosonline import directory, presence
from whosonline.core.statuses import Status

from .forms import SignUpForm

PAGE = 100
"""Users on one page of the list."""


class SignUp(CreateView):
    """Makes an account, and logs it in."""

    form_class = SignUpForm
    template_name = "registration/sign_up.html"
    success_url = reverse_lazy("list")

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        if request.user.is_authenticated:
            return redirect("list")
        return super().dispatch(request, *args, **kwargs)

    def form_valid(self, form: SignUpForm) -> HttpResponse:
        response = super().form_valid(form)
        login(self.request, self.object)
        return response


class LogOut(LogoutView):
    """Logs out by POST; a GET shows the button that does."""

    http_method_names = ["get", "post", "head", "options"]

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if not request.user.is_authenticated:
            return redirect("log_in")
        return self.render_to_response({})

    template_name = "registration/log_out.html"


class UserList(LoginRequiredMixin, TemplateView):
    """A page of all users, by name key: ``?after=KEY`` and ``?before=KEY``, never by number."""

    template_name = "lobby/list.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        users, has_previous, has_next = self._page()
        keys = [directory.name_key(user) for user in users]
        seen = presence.statuses(user.pk for user in users)
        return super().get_context_data(
            rows=[self._row(user, seen[str(user.pk)]) for user in users],
            online=presence.online_count(),
            statuses=list(Status),
            # The part of the list that this page watches: it begins where the page before it ended.
            after=self.request.GET.get("after") if has_previous and not self._before else self._start(users),
            until=keys[-1] if has_next else None,
            previous=keys[0] if has_previous and keys else None,
            next=keys[-1] if has_next else None,
            **kwargs,
        )

    @property
    def _before(self) -> str | None:
        return self.request.GET.get("before")
